//! `--secure`: a SASL_SSL and an SSL listener, their certificates, and properties for clients.
//!
//! In the cluster's directory: `ca.pem`; `server.pem` (key and chain, as Kafka wants them);
//! `client.pem`, `client.key` and, for Kafka's own tools, both in `client-keystore.pem`;
//! `client.properties` (SCRAM-SHA-512), `client-plain.properties` and `client-ssl.properties`
//! (mutual TLS). All names and passwords are for tests on loopback.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::kraft::{Ports, bootstrap};

const USER: &str = "alice";
const PASSWORD: &str = "alice-secret";
const SCRAM: [&str; 2] = ["SCRAM-SHA-256", "SCRAM-SHA-512"];
const SCRAM_MODULE: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
const PLAIN_MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

pub(super) struct Secure {
    dir: PathBuf,
}

impl Secure {
    /// Writes the certificates and the clients' properties into `dir`.
    pub(super) fn create(dir: &Path, ports: &[Ports]) -> Result<Self> {
        let secure = Self {
            dir: dir.to_owned(),
        };
        secure.write_certificates()?;
        secure.write_client_properties(ports)?;
        Ok(secure)
    }

    /// The path of `client.properties`.
    pub(super) fn client_properties(&self) -> PathBuf {
        self.dir.join("client.properties")
    }

    /// What StorageTool makes before the first start.
    pub(super) fn scram_users() -> Vec<String> {
        SCRAM
            .map(|name| format!("{name}=[name={USER},password={PASSWORD}]"))
            .to_vec()
    }

    /// Each broker's part: which mechanisms, which certificates.
    pub(super) fn broker_properties(&self) -> String {
        let dir = self.dir.display();
        let scram = SCRAM.map(|name| {
            let name = name.to_lowercase();
            format!("listener.name.sasl_ssl.{name}.sasl.jaas.config={SCRAM_MODULE} required;\n")
        });
        format!(
            "sasl.enabled.mechanisms=PLAIN,{}
{}listener.name.sasl_ssl.plain.sasl.jaas.config={PLAIN_MODULE} required user_{USER}=\"{PASSWORD}\";
listener.name.ssl.ssl.client.auth=requested
ssl.keystore.type=PEM
ssl.keystore.location={dir}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={dir}/ca.pem
",
            SCRAM.join(","),
            scram.concat(),
        )
    }

    fn write_client_properties(&self, ports: &[Ports]) -> Result<()> {
        let dir = self.dir.display();
        let trust = format!("ssl.truststore.type=PEM\nssl.truststore.location={dir}/ca.pem\n");
        let sasl_ssl = bootstrap(ports, |ports| ports.sasl_ssl);
        let sasl = |mechanism: &str, module: &str| {
            format!(
                "bootstrap.servers={sasl_ssl}
security.protocol=SASL_SSL
sasl.mechanism={mechanism}
sasl.jaas.config={module} required username=\"{USER}\" password=\"{PASSWORD}\";
{trust}"
            )
        };
        let ssl = format!(
            "bootstrap.servers={}
security.protocol=SSL
{trust}ssl.keystore.type=PEM
ssl.keystore.location={dir}/client-keystore.pem
",
            bootstrap(ports, |ports| ports.ssl)
        );
        fs::write(
            self.client_properties(),
            sasl("SCRAM-SHA-512", SCRAM_MODULE),
        )?;
        fs::write(
            self.dir.join("client-plain.properties"),
            sasl("PLAIN", PLAIN_MODULE),
        )?;
        fs::write(self.dir.join("client-ssl.properties"), ssl)?;
        Ok(())
    }

    fn write_certificates(&self) -> Result<()> {
        let ca = authority()?;
        let (server, server_key) = leaf(&ca, "broker", ExtendedKeyUsagePurpose::ServerAuth)?;
        let (client, client_key) = leaf(&ca, USER, ExtendedKeyUsagePurpose::ClientAuth)?;
        let files = [
            ("ca.pem", ca.pem()),
            ("server.pem", format!("{server_key}{server}{}", ca.pem())),
            ("client.pem", client.clone()),
            ("client.key", client_key.clone()),
            (
                "client-keystore.pem",
                format!("{client_key}{client}{}", ca.pem()),
            ),
        ];
        for (name, pem) in files {
            fs::write(self.dir.join(name), pem)?;
        }
        Ok(())
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Result<Authority> {
    let mut params = CertificateParams::new(Vec::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "milena test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A certificate for loopback and its key, both PEM.
fn leaf(ca: &Authority, name: &str, usage: ExtendedKeyUsagePurpose) -> Result<(String, String)> {
    let names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, ca)?.pem(), key.serialize_pem()))
}
