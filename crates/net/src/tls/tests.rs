use super::{TlsConfig, TlsConfigError};

const RSA: &str = include_str!("testdata/rsa.crt");
const RSA_PKCS1: &str = include_str!("testdata/rsa-pkcs1.key");
const EC: &str = include_str!("testdata/ec.crt");
const EC_SEC1: &str = include_str!("testdata/ec-sec1.key");
const EC_ENCRYPTED: &str = include_str!("testdata/ec-encrypted.key");

fn with_identity(chain: &str, key: &str) -> Result<TlsConfig, TlsConfigError> {
    TlsConfig::builder()
        .ca_pem(EC)
        .identity_pem(chain, key)
        .build()
}

#[test]
fn keys_are_read_in_every_usual_form() {
    with_identity(RSA, RSA_PKCS1).unwrap();
    with_identity(EC, EC_SEC1).unwrap();
    let pkcs8 = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
    with_identity(&pkcs8.cert.pem(), &pkcs8.signing_key.serialize_pem()).unwrap();
}

#[test]
fn a_certificate_and_a_key_that_do_not_belong_together_are_refused() {
    let error = with_identity(RSA, EC_SEC1).unwrap_err();
    assert!(matches!(error, TlsConfigError::Identity { .. }), "{error}");
}

#[test]
fn an_encrypted_key_says_how_to_decrypt_it() {
    let error = with_identity(EC, EC_ENCRYPTED).unwrap_err().to_string();
    assert!(error.contains("openssl pkey"), "{error}");
}

#[test]
fn files_and_texts_without_what_they_should_have_are_named() {
    let missing = TlsConfig::builder().ca_file("/no/such/ca.pem").build();
    let shown = missing.unwrap_err().to_string();
    assert!(shown.contains("/no/such/ca.pem"), "{shown}");
    let empty = TlsConfig::builder().ca_pem("nothing").build();
    assert!(matches!(empty, Err(TlsConfigError::Pem { .. })));
    let name = TlsConfig::builder()
        .ca_pem(EC)
        .server_name("not a name")
        .build();
    assert!(matches!(name, Err(TlsConfigError::ServerName { .. })));
}

#[test]
fn a_key_is_never_shown() {
    let builder = TlsConfig::builder().ca_pem(EC).identity_pem(EC, EC_SEC1);
    let shown = format!("{builder:?} {:?}", builder.clone().build().unwrap());
    let secret = EC_SEC1.lines().nth(1).unwrap();
    assert!(
        !shown.contains(secret) && !shown.contains("PRIVATE"),
        "{shown}"
    );
}
