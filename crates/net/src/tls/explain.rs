//! What a failure of TLS means to a user.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// The reason and the fix, if `error` comes from TLS.
pub(crate) fn explain(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?;
    if error.is::<rustls_pki_types::InvalidDnsNameError>() {
        let fix = "its host is not a valid name for a certificate; set the server name";
        return Some(fix.to_owned());
    }
    let error = error.downcast_ref::<Error>()?;
    let fix = match error {
        Error::InvalidCertificate(problem) => certificate_fix(problem),
        Error::InvalidMessage(_) => {
            "the peer does not speak TLS on this port; turn TLS off or use the port of a TLS \
             listener"
        }
        Error::AlertReceived(alert) => alert_fix(*alert),
        Error::PeerIncompatible(_) => "allow TLS 1.2 or 1.3 with a modern cipher on the broker",
        _ => "check the TLS settings of client and broker",
    };
    Some(format!("{error}; {fix}"))
}

fn certificate_fix(problem: &CertificateError) -> &'static str {
    use CertificateError as E;
    match problem {
        E::UnknownIssuer => {
            "the broker's certificate is not trusted: give its certificate authority as the CA file"
        }
        E::BadSignature => {
            "the broker's certificate is signed by another authority of the same name: give the \
             right CA file"
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "the broker's certificate is for another name: connect by a name that it has, or set \
             the server name"
        }
        E::Expired | E::ExpiredContext { .. } => {
            "renew the broker's certificate, or check the clock"
        }
        E::NotValidYet | E::NotValidYetContext { .. } => "check the clocks",
        E::Revoked => "the broker's certificate has been revoked",
        _ => "replace the broker's certificate",
    }
}

fn alert_fix(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => {
            "the broker requires a client certificate (ssl.client.auth=required): set one"
        }
        A::BadCertificate
        | A::UnknownCA
        | A::CertificateUnknown
        | A::CertificateExpired
        | A::AccessDenied
        | A::UnsupportedCertificate => {
            "the broker does not accept the client's certificate, or requires one and got none: \
             check the client certificate and the broker's trust store"
        }
        A::UnrecognisedName => "the broker does not know this server name",
        A::ProtocolVersion | A::HandshakeFailure => {
            "no TLS version or cipher in common, or the broker requires a client certificate"
        }
        _ => "check the TLS settings of client and broker",
    }
}
