//! Certificates of callers.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
};
use rstest::rstest;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::{answer, folder, gateway, secret, start, write};
use crate::binary::{Binary, KEY, client_builder, until};
use crate::upstream::Upstream;

type Authority = CertifiedIssuer<'static, KeyPair>;

/// How a value in a Secret is referred to.
const SECRET: &str = "secretKeyRef";
/// The place of the authority among the objects.
const AUTHORITY: usize = 2;
/// The place of the revocation list, where there is one.
const LIST: usize = 3;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A Secret or ConfigMap with the authority.
fn authority_object(kind: &str, authority: &Authority) -> Value {
    let data = json!({"ca.crt": authority.pem()});
    match kind {
        SECRET => secret("callers", &data),
        _ => {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "callers"}, "data": data})
        }
    }
}

/// A ConfigMap with the list of certificates that the authority has revoked.
fn list_object(by: &Authority, revoked: &[u64]) -> Value {
    let now = OffsetDateTime::now_utc();
    let revoked = revoked.iter().map(|number| RevokedCertParams {
        serial_number: SerialNumber::from(*number),
        revocation_time: now,
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: now - Duration::hours(1),
        next_update: now + Duration::hours(1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(by).expect("a list").pem().expect("PEM");
    list_text(&list)
}

fn list_text(list: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "revoked"}, "data": {"ca.crl": list}})
}

/// A certificate and its key, in one PEM text.
fn identity(by: &Authority, name: &str) -> reqwest::Identity {
    identity_numbered(by, name, None)
}

fn identity_numbered(by: &Authority, name: &str, number: Option<u64>) -> reqwest::Identity {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.serial_number = number.map(SerialNumber::from);
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, by).expect("a certificate");
    let pem = format!("{}{}", key.serialize_pem(), certificate.pem());
    reqwest::Identity::from_pem(pem.as_bytes()).expect("an identity")
}

struct Setting {
    gateway: Binary,
    trusted: reqwest::Certificate,
    _upstream: Upstream,
}

impl Setting {
    async fn start(authority: &Authority, mode: &str) -> Self {
        Self::start_from(SECRET, authority, mode).await
    }

    /// With a list of what the authority has revoked.
    async fn start_with_list(authority: &Authority, list: Value) -> Self {
        let place = json!({"configMapKeyRef": {"name": "revoked", "key": "ca.crl"}});
        let fields = json!({"revocationLists": [place]});
        Self::launch((SECRET, authority), "Optional", fields, vec![list]).await
    }

    /// With the authority in an object of that kind.
    async fn start_from(kind: &str, authority: &Authority, mode: &str) -> Self {
        Self::launch((kind, authority), mode, json!({}), Vec::new()).await
    }

    async fn launch(
        (kind, authority): (&str, &Authority),
        mode: &str,
        fields: Value,
        lists: Vec<Value>,
    ) -> Self {
        let upstream = Upstream::start().await;
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let pair = pair.expect("a certificate");
        let trusted = reqwest::Certificate::from_pem(pair.cert.pem().as_bytes()).expect("PEM");
        let mut spec = json!({
            "tls": {"secretRef": {"name": "serving"}},
            "auth": {"clientCertificates": {
                "caCertificate": {kind: {"name": "callers", "key": "ca.crt"}},
                "mode": mode,
                "names": ["ada", "team-*"],
            }},
        });
        for (field, value) in fields.as_object().into_iter().flatten() {
            spec["auth"]["clientCertificates"][field] = value.clone();
        }
        let serving =
            json!({"tls.crt": pair.cert.pem(), "tls.key": pair.signing_key.serialize_pem()});
        let mut objects = vec![
            gateway(&upstream, spec),
            secret("serving", &serving),
            authority_object(kind, authority),
        ];
        objects.extend(lists);
        let client = client_builder().tls_certs_only([trusted.clone()]);
        let client = client.build().expect("a client");
        Self {
            gateway: start(folder(&objects), ("https", client)).await,
            trusted,
            _upstream: upstream,
        }
    }

    fn client(&self, identity: reqwest::Identity) -> reqwest::Client {
        client_builder()
            .tls_certs_only([self.trusted.clone()])
            .identity(identity)
            .build()
            .expect("a client")
    }

    fn models(&self, client: &reqwest::Client) -> reqwest::RequestBuilder {
        client.get(self.gateway.url("/v1/models"))
    }
}

#[tokio::test]
async fn a_certificate_is_an_identity_and_a_header_is_none() {
    let (ours, theirs) = (authority(), authority());
    let setting = Setting::start(&ours, "Optional").await;
    let ada = setting.client(identity(&ours, "ada"));
    assert_eq!(answer(setting.models(&ada)).await.0, 200);
    let eve = setting.client(identity(&ours, "eve"));
    let (status, error, _) = answer(setting.models(&eve)).await;
    assert_eq!((status, &error["code"]), (403, &json!("forbidden")));
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("`eve`"), "{message}");
    // A credential is what its holder wants to be known by, wrong ones included.
    assert_eq!(answer(setting.models(&eve).bearer_auth(KEY)).await.0, 200);
    assert_eq!(
        answer(setting.models(&ada).bearer_auth("wrong")).await.0,
        401
    );

    let nobody = &setting.gateway.client;
    let forged = setting
        .models(nobody)
        .header("x-forwarded-client-cert", "Subject=\"CN=ada\"")
        .header("x-client-cert", "ada")
        .header("x-ssl-client-s-dn", "CN=ada");
    assert_eq!(answer(forged).await.0, 401);
    let stranger = setting.client(identity(&theirs, "ada"));
    setting
        .models(&stranger)
        .send()
        .await
        .expect_err("no handshake");
}

#[rstest]
#[case(SECRET)]
#[case("configMapKeyRef")]
#[tokio::test]
async fn a_new_authority_is_taken_over_by_connections_that_are_open(#[case] kind: &str) {
    let (old, new) = (authority(), authority());
    let setting = Setting::start_from(kind, &old, "Optional").await;
    let ada = setting.client(identity(&old, "ada"));
    assert_eq!(answer(setting.models(&ada)).await.0, 200);
    write(
        setting.gateway.folder.path(),
        AUTHORITY,
        &authority_object(kind, &new),
    );
    // An answer at all: a handshake with this certificate would fail now.
    until(
        "the old certificate is refused on its connection",
        async || (answer(setting.models(&ada)).await.0 == 401).then_some(()),
    )
    .await;
    let team = setting.client(identity(&new, "team-web"));
    assert_eq!(answer(setting.models(&team)).await.0, 200);
}

#[tokio::test]
async fn where_certificates_are_required_nobody_connects_without() {
    let authority = authority();
    let setting = Setting::start(&authority, "Required").await;
    let nobody = &setting.gateway.client;
    let refused = setting.models(nobody).bearer_auth(KEY).send().await;
    refused.expect_err("no connection");
    let ada = setting.client(identity(&authority, "ada"));
    assert_eq!(answer(setting.models(&ada)).await.0, 200);
    assert_eq!(answer(setting.models(&ada).bearer_auth(KEY)).await.0, 200);
    let eve = setting.client(identity(&authority, "eve"));
    assert_eq!(answer(setting.models(&eve).bearer_auth(KEY)).await.0, 403);
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_on_new_and_open_connections_and_others_serve() {
    let authority = authority();
    let setting = Setting::start_with_list(&authority, list_object(&authority, &[1])).await;
    let shows =
        |name: &str, number: u64| setting.client(identity_numbered(&authority, name, Some(number)));
    let revoked = shows("ada", 1);
    let refused = setting.models(&revoked).send().await;
    refused.expect_err("no handshake");
    let (ada, team) = (shows("ada", 2), shows("team-web", 3));
    assert_eq!(answer(setting.models(&ada)).await.0, 200);
    assert_eq!(answer(setting.models(&team)).await.0, 200);

    let folder = setting.gateway.folder.path();
    write(folder, LIST, &list_object(&authority, &[1, 2]));
    // An answer at all: this connection was there before.
    let message = until("the open connection is refused", async || {
        let (status, error, _) = answer(setting.models(&ada)).await;
        (status == 401).then(|| error["message"].to_string())
    })
    .await;
    assert!(message.contains("revoked"), "{message}");
    let again = setting.models(&shows("ada", 2)).send().await;
    again.expect_err("no handshake");
    assert_eq!(answer(setting.models(&team)).await.0, 200);
    let nobody = &setting.gateway.client;
    assert_eq!(answer(setting.models(nobody).bearer_auth(KEY)).await.0, 200);
}

#[tokio::test]
async fn a_broken_list_leaves_the_one_before_in_force() {
    let authority = authority();
    let setting = Setting::start_with_list(&authority, list_object(&authority, &[1])).await;
    let shows = |number: u64| setting.client(identity_numbered(&authority, "ada", Some(number)));
    let folder = setting.gateway.folder.path();
    write(folder, LIST, &list_text("nothing"));
    let told = until("the broken list is told", async || {
        let log = setting.gateway.log();
        let mut lines = log.lines();
        let line = lines.find(|line| line.contains("revocationLists[0]"))?;
        Some(line.to_owned())
    })
    .await;
    for part in ["configMapKeyRef.key", "ca.crl", "not PEM"] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    assert_eq!(answer(setting.models(&shows(2))).await.0, 200);
    let refused = setting.models(&shows(1)).send().await;
    refused.expect_err("no handshake");
    write(folder, LIST, &list_object(&authority, &[]));
    until("the next list counts", async || {
        let answer = setting.models(&shows(1)).send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
}
