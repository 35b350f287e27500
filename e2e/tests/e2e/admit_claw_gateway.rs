//! Which ClawGateways the API server takes.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a table reads best with json! in place"
)]

use serde_json::{Value, json};

use crate::{
    admit::{Row, Table, accepts, defaults, edits, refuses_edit, rejects},
    context::Case,
};

pub(crate) fn cases() -> Vec<Case> {
    table().into_cases(module_path!())
}

pub(crate) fn table() -> Table {
    let rows = [
        identity(),
        models(),
        local_models(),
        local_tasks(),
        model_sources(),
        model_pools(),
        remote_models(),
        providers(),
        provider_keys(),
        auth(),
        tokens(),
        introspection(),
        client_certificates(),
        revocation_lists(),
        sizes(),
        scaling(),
        accelerators(),
        services(),
        network_policies(),
        outbound(),
        callers(),
        exposures(),
        storage(),
        certificates(),
        limits(),
        budgets(),
        shared_budgets(),
        states(),
        traces(),
        audits(),
        audit_sinks(),
        audit_archives(),
    ];
    Table {
        kind: "ClawGateway",
        valid: valid(),
        rows: rows.into_iter().flatten().collect(),
    }
}

fn valid() -> Value {
    json!({
        "apiVersion": "claw.dev/v1alpha1",
        "kind": "ClawGateway",
        "metadata": {"name": "helpdesk"},
        "spec": {"models": [local("small")], "auth": {"anonymous": {}}},
    })
}

fn local(name: &str) -> Value {
    json!({"name": name, "local": {"source": {"path": "/models/small.gguf"}}})
}

fn spec(spec: Value) -> Value {
    json!({ "spec": spec })
}

fn model(model: Value) -> Value {
    spec(json!({ "models": [model] }))
}

/// A change to the valid local model.
fn local_with(key: &str, value: Value) -> Value {
    let mut model = local("small");
    model["local"][key] = value;
    self::model(model)
}

/// A local model that ranks, with its weights stored so.
fn ranking(quantization: &str) -> Value {
    let source = json!({"path": "/m"});
    model(json!({
        "name": "ranks", "local": {"source": source, "task": "Rerank", "quantization": quantization},
    }))
}

fn http(url: &str, sha256: &str) -> Value {
    local_with("source", json!({"http": {"url": url, "sha256": sha256}}))
}

fn remote(key: &str, value: Value) -> Value {
    let mut remote = json!({"provider": "OpenAI", "baseURL": "https://api.example.com/v1"});
    remote[key] = value;
    model(json!({"name": "big", "remote": remote}))
}

fn provider(remote: Value) -> Value {
    model(json!({"name": "big", "remote": remote}))
}

const SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const NAME_RULE: &str = "metadata.name becomes the name of a Service";

fn identity() -> Vec<Row> {
    let named = |name: &str| json!({"metadata": {"name": name}});
    vec![
        defaults(
            "a_minimal_gateway_gets_the_documented_defaults",
            json!({}),
            json!({"spec": {
                "size": "Small",
                "tls": {"selfSigned": {}},
                "accelerator": {"type": "Auto"},
                "service": {"type": "ClusterIP"},
                "replicas": null,
                // Elements of lists stay as they are, for the sake of clients that compare lists as a whole.
                "models": [{"local": {"task": null, "quantization": null, "load": null}}],
            }}),
        ),
        accepts("a_name_of_50_characters", named(&"a".repeat(50))),
        rejects(
            "a_name_of_51_characters",
            named(&"a".repeat(51)),
            "",
            NAME_RULE,
        ),
        rejects(
            "a_name_that_starts_with_a_digit",
            named("1st"),
            "",
            NAME_RULE,
        ),
        rejects("a_name_with_a_dot", named("help.desk"), "", NAME_RULE),
    ]
}

fn models() -> Vec<Row> {
    let many = |count: usize| {
        let models: Vec<Value> = (0..count).map(|n| local(&format!("m{n}"))).collect();
        spec(json!({ "models": models }))
    };
    let named = |name: &str| model(local(name));
    let both_or_none = "set exactly one of local and remote";
    vec![
        accepts("64_models", many(64)),
        rejects(
            "65_models",
            many(65),
            "spec.models",
            "must have at most 64 items",
        ),
        rejects("no_models", many(0), "spec.models", "at least 1 items"),
        rejects(
            "absent_models",
            spec(json!({"models": null})),
            "spec.models",
            "Required value",
        ),
        rejects(
            "two_models_of_one_name",
            spec(json!({"models": [local("twin"), local("twin")]})),
            "spec.models[1]",
            "Duplicate value",
        ),
        accepts(
            "a_model_name_with_slash_colon_and_dot",
            named("org/model:1.5"),
        ),
        rejects(
            "an_empty_model_name",
            named(""),
            "spec.models[0].name",
            "at least 1 chars long",
        ),
        rejects(
            "a_model_name_with_a_space",
            named("a b"),
            "spec.models[0].name",
            "should match",
        ),
        rejects(
            "a_model_name_that_ends_in_a_slash",
            named("a/"),
            "spec.models[0].name",
            "should match",
        ),
        rejects(
            "a_model_name_of_129_characters",
            model(local(&"a".repeat(129))),
            "spec.models[0].name",
            "may not be more than 128 bytes",
        ),
        rejects(
            "a_model_of_neither_kind",
            model(json!({"name": "x"})),
            "spec.models[0]",
            both_or_none,
        ),
        rejects(
            "a_model_of_both_kinds",
            model(json!({
                "name": "x",
                "local": {"source": {"path": "/m"}},
                "remote": {"provider": "OpenAI", "baseURL": "https://a.example/v1"},
            })),
            "spec.models[0]",
            both_or_none,
        ),
    ]
}

fn local_models() -> Vec<Row> {
    let source = |source: Value| local_with("source", source);
    let one_source =
        "set exactly one of path, http, huggingFace, s3, oci and persistentVolumeClaim";
    vec![
        accepts(
            "a_model_behind_a_url",
            http("https://models.example/m.gguf", SHA256),
        ),
        rejects(
            "a_source_of_no_kind",
            source(json!({})),
            "spec.models[0].local.source",
            one_source,
        ),
        rejects(
            "a_source_of_both_kinds",
            source(json!({"path": "/m", "http": {"url": "https://a.example/m", "sha256": SHA256}})),
            "spec.models[0].local.source",
            one_source,
        ),
        rejects(
            "an_empty_path",
            source(json!({"path": ""})),
            "source.path",
            "at least 1 chars long",
        ),
        rejects(
            "a_url_of_another_scheme",
            http("ftp://a.example/m", SHA256),
            "http.url",
            "should match",
        ),
        rejects(
            "a_url_with_a_space",
            http("https://a.example/m m", SHA256),
            "http.url",
            "should match",
        ),
        rejects(
            "a_short_sha256",
            http("https://a.example/m", "abc"),
            "http.sha256",
            "should match",
        ),
        rejects(
            "an_upper_case_sha256",
            http(
                "https://a.example/m",
                "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08",
            ),
            "http.sha256",
            "should match",
        ),
    ]
}

fn local_tasks() -> Vec<Row> {
    let at = "spec.models[0].local";
    vec![
        accepts(
            "a_local_model_that_summarizes",
            local_with("task", json!("Summarize")),
        ),
        accepts(
            "a_local_model_that_embeds",
            local_with("task", json!("Embed")),
        ),
        rejects(
            "an_unknown_local_task",
            local_with("task", json!("Dream")),
            at,
            "supported values: \"Chat\", \"Summarize\", \"Embed\", \"Rerank\"",
        ),
        accepts("a_local_model_that_ranks_in_floats", ranking("None")),
        rejects(
            "a_local_model_that_ranks_in_bytes",
            ranking("Int8"),
            at,
            "the tasks Embed and Rerank need the quantization None",
        ),
        rejects(
            "a_local_model_that_ranks_in_half_bytes",
            ranking("Int4"),
            at,
            "the tasks Embed and Rerank need the quantization None",
        ),
        rejects(
            "an_unknown_quantization",
            local_with("quantization", json!("Int3")),
            at,
            "Unsupported value: \"Int3\"",
        ),
        accepts(
            "a_context_of_128_tokens",
            local_with("contextLength", json!(128)),
        ),
        rejects(
            "a_context_of_127_tokens",
            local_with("contextLength", json!(127)),
            at,
            "greater than or equal to 128",
        ),
    ]
}

fn model_sources() -> Vec<Row> {
    let source = |kind: &str, value: Value| local_with("source", json!({kind: value}));
    let hub = |key: &str, value: Value| {
        let mut hub = json!({"repo": "team/model", "files": ["*.gguf"]});
        hub[key] = value;
        source("huggingFace", hub)
    };
    let secret = json!({"secretKeyRef": {"name": "storage", "key": "id"}});
    let mut rows = vec![
        accepts(
            "a_repository_of_the_hub",
            hub("revision", json!("refs/pr/1")),
        ),
        accepts(
            "a_repository_of_a_mirror_with_a_token",
            hub("token", secret.clone()),
        ),
        rejects(
            "a_repository_outside_the_hub",
            hub("repo", json!("../team/model")),
            "huggingFace.repo",
            "should match",
        ),
        rejects(
            "a_repository_without_files",
            hub("files", json!([])),
            "huggingFace.files",
            "at least 1 items",
        ),
        rejects(
            "a_hub_without_a_scheme",
            hub("endpoint", json!("huggingface.co")),
            "huggingFace.endpoint",
            "should match",
        ),
    ];
    rows.extend(buckets_and_registries());
    rows.extend(claims());
    rows
}

fn buckets_and_registries() -> Vec<Row> {
    let source = |kind: &str, value: Value| local_with("source", json!({kind: value}));
    let bucket = |value: Value| {
        let mut bucket = json!({"bucket": "models"});
        for (key, value) in value.as_object().expect("an object") {
            bucket[key] = value.clone();
        }
        source("s3", bucket)
    };
    let reference = |reference: &str| source("oci", json!({"reference": reference}));
    let secret = json!({"secretKeyRef": {"name": "storage", "key": "id"}});
    let at = "spec.models[0].local.source";
    vec![
        accepts("an_object", bucket(json!({"key": "a/model.gguf"}))),
        accepts(
            "a_folder_of_a_bucket",
            bucket(json!({"prefix": "a/model", "accessKeyId": secret, "secretAccessKey": secret})),
        ),
        rejects(
            "an_object_and_a_folder",
            bucket(json!({"key": "a", "prefix": "b"})),
            at,
            "set exactly one of key and prefix",
        ),
        rejects(
            "a_bucket_without_objects",
            bucket(json!({})),
            at,
            "set exactly one of key and prefix",
        ),
        rejects(
            "half_of_a_credential",
            bucket(json!({"key": "a", "accessKeyId": secret})),
            at,
            "set both of accessKeyId and secretAccessKey",
        ),
        rejects(
            "a_sha256_of_a_folder",
            bucket(json!({"prefix": "a", "sha256": SHA256})),
            at,
            "sha256 is of one object",
        ),
        accepts(
            "an_artifact_by_tag",
            reference("registry.example:5000/team/model:q8"),
        ),
        accepts(
            "an_artifact_by_digest",
            reference(&format!("ghcr.io/team/model@sha256:{SHA256}")),
        ),
        rejects(
            "an_artifact_of_no_registry",
            reference("model"),
            "oci.reference",
            "should match",
        ),
        rejects(
            "an_artifact_behind_a_scheme",
            reference("https://ghcr.io/team/model"),
            "oci.reference",
            "should match",
        ),
    ]
}

/// Files of volumes that are there already, and when models are loaded.
fn claims() -> Vec<Row> {
    let claim = |value: Value| local_with("source", json!({"persistentVolumeClaim": value}));
    let at = "spec.models[0].local";
    vec![
        accepts("a_claim", claim(json!({"claimName": "weights"}))),
        accepts(
            "a_file_of_a_claim",
            claim(json!({"claimName": "weights", "path": "a/..b/model.gguf"})),
        ),
        rejects(
            "a_claim_without_a_name",
            claim(json!({"path": "model.gguf"})),
            "claimName",
            "Required value",
        ),
        rejects(
            "an_absolute_path_in_a_claim",
            claim(json!({"claimName": "weights", "path": "/etc"})),
            "persistentVolumeClaim.path",
            "should match",
        ),
        rejects(
            "a_path_that_leaves_its_claim",
            claim(json!({"claimName": "weights", "path": "a/../../b"})),
            at,
            "path stays within the volume: leave out ..",
        ),
        accepts("a_lazy_model", local_with("load", json!("Lazy"))),
        accepts("a_standby_model", local_with("load", json!("Standby"))),
        rejects(
            "an_unknown_way_to_load",
            local_with("load", json!("Sometimes")),
            at,
            "Unsupported value: \"Sometimes\"",
        ),
    ]
}

fn model_pools() -> Vec<Row> {
    let pool = |pool: Value| spec(json!({ "modelPool": pool }));
    vec![
        accepts(
            "a_pool_with_budgets",
            pool(json!({"memory": "12Gi", "disk": 80_000_000_000_u64, "offline": true})),
        ),
        rejects(
            "a_pool_without_memory",
            pool(json!({"memory": "0"})),
            "spec.modelPool",
            "memory must be positive",
        ),
        rejects(
            "a_pool_with_less_than_no_disk",
            pool(json!({"disk": "-1Gi"})),
            "spec.modelPool",
            "disk must be positive",
        ),
    ]
}

fn remote_models() -> Vec<Row> {
    let at = "spec.models[0].remote";
    vec![
        accepts("a_remote_model", remote("model", json!("gpt-4o-mini"))),
        accepts(
            "a_remote_model_with_credentials",
            remote(
                "credentials",
                json!({"secretKeyRef": {"name": "openai", "key": "api-key"}}),
            ),
        ),
        accepts("a_remote_model_that_embeds", remote("task", json!("Embed"))),
        rejects(
            "an_unknown_task",
            remote("task", json!("Dream")),
            at,
            "Unsupported value: \"Dream\"",
        ),
        rejects(
            "an_unknown_provider",
            remote("provider", json!("Oracle")),
            at,
            "Unsupported value: \"Oracle\"",
        ),
        rejects(
            "a_base_url_without_a_scheme",
            remote("baseURL", json!("api.example.com")),
            at,
            "should match",
        ),
        rejects(
            "a_credential_without_a_key",
            remote("credentials", json!({"secretKeyRef": {"name": "openai"}})),
            "credentials.secretKeyRef.key",
            "Required value",
        ),
    ]
}

fn providers() -> Vec<Row> {
    let at = "spec.models[0].remote";
    vec![
        accepts(
            "anthropic_at_its_own_address",
            provider(json!({"provider": "Anthropic", "model": "claude-sonnet-4-5"})),
        ),
        accepts(
            "gemini_at_its_own_address",
            provider(json!({"provider": "Gemini", "model": "gemini-2.5-flash"})),
        ),
        accepts(
            "openai_at_its_own_address",
            provider(json!({"provider": "OpenAI"})),
        ),
        accepts(
            "azure_by_its_v1_api",
            provider(json!({"provider": "AzureOpenAI", "baseURL": "https://me.openai.azure.com"})),
        ),
        accepts(
            "azure_by_deployments",
            provider(json!({
                "provider": "AzureOpenAI", "baseURL": "https://me.openai.azure.com",
                "apiVersion": "2025-04-01-preview",
            })),
        ),
        accepts(
            "anthropic_that_summarizes",
            provider(json!({"provider": "Anthropic", "task": "Summarize"})),
        ),
        rejects(
            "anthropic_that_embeds",
            provider(json!({"provider": "Anthropic", "task": "Embed"})),
            at,
            "the tasks Embed and Rerank need the provider OpenAI or AzureOpenAI",
        ),
        rejects(
            "gemini_that_ranks",
            provider(json!({"provider": "Gemini", "task": "Rerank"})),
            at,
            "the tasks Embed and Rerank need the provider OpenAI or AzureOpenAI",
        ),
        rejects(
            "azure_without_an_endpoint",
            provider(json!({"provider": "AzureOpenAI"})),
            at,
            "AzureOpenAI needs baseURL",
        ),
        rejects(
            "an_api_version_elsewhere",
            remote("apiVersion", json!("2024-10-21")),
            at,
            "apiVersion is for AzureOpenAI only",
        ),
        rejects(
            "an_api_version_that_is_none",
            provider(json!({
                "provider": "AzureOpenAI", "baseURL": "https://me.openai.azure.com", "apiVersion": "v1",
            })),
            "spec.models[0].remote.apiVersion",
            "should match",
        ),
    ]
}

fn provider_keys() -> Vec<Row> {
    vec![
        accepts(
            "a_remote_model_with_several_keys",
            remote(
                "credentials",
                json!({"secretKeyRefs": [{"name": "a", "key": "k"}, {"name": "b", "key": "k"}]}),
            ),
        ),
        rejects(
            "credentials_of_both_kinds",
            remote(
                "credentials",
                json!({"secretKeyRef": {"name": "a", "key": "k"}, "secretKeyRefs": [{"name": "b", "key": "k"}]}),
            ),
            "spec.models[0].remote.credentials",
            "set exactly one of secretKeyRef and secretKeyRefs",
        ),
        rejects(
            "credentials_of_no_kind",
            remote("credentials", json!({})),
            "spec.models[0].remote.credentials",
            "set exactly one of secretKeyRef and secretKeyRefs",
        ),
        rejects(
            "an_empty_list_of_keys",
            remote("credentials", json!({"secretKeyRefs": []})),
            "spec.models[0].remote.credentials.secretKeyRefs",
            "should have at least 1 items",
        ),
    ]
}

fn auth() -> Vec<Row> {
    // Null first: a merge would keep the valid object's `anonymous`.
    let keys = |selector: Value| json!({"anonymous": null, "apiKeys": {"selector": selector}});
    let labels = json!({"matchLabels": {"claw.dev/gateway": "helpdesk"}});
    let one = "set anonymous alone, or at least one of apiKeys, jwt, introspection and clientCertificates";
    vec![
        accepts(
            "api_keys_by_label",
            spec(json!({"auth": keys(labels.clone())})),
        ),
        accepts(
            "api_keys_by_expression",
            spec(
                json!({"auth": keys(json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]}))}),
            ),
        ),
        rejects(
            "nobody_said_who_may_call",
            spec(json!({"auth": {"anonymous": null}})),
            "spec.auth",
            one,
        ),
        rejects(
            "absent_auth",
            spec(json!({"auth": null})),
            "spec.auth",
            "Required value",
        ),
        rejects(
            "anonymous_and_api_keys",
            spec(json!({"auth": {"apiKeys": {"selector": labels}}})),
            "spec.auth",
            one,
        ),
        rejects(
            "a_selector_that_takes_every_secret",
            spec(json!({"auth": keys(json!({}))})),
            "spec.auth.apiKeys",
            "selector must not be empty: it would take every Secret of the namespace for API keys",
        ),
    ]
}

/// Null first: a merge would keep the valid object's `anonymous`.
fn known_by(way: &str, value: &Value) -> Value {
    spec(json!({"auth": {"anonymous": null, way: value}}))
}

fn issuer(field: &str, value: Value) -> Value {
    let mut issuer = json!({
        "name": "corp",
        "issuer": "https://login.example.com",
        "audiences": ["claw"],
        "jwks": {"url": "https://login.example.com/keys"},
    });
    issuer[field] = value;
    known_by("jwt", &json!([issuer]))
}

fn tokens() -> Vec<Row> {
    let rule = |rule: Value| issuer("claims", json!({"required": [rule]}));
    let one_source = "set exactly one of url and inline";
    let one_test = "set exactly one of equals, oneOf and contains";
    let whole = json!({
        "name": "email",
        "models": "models",
        "paths": "/claw/paths",
        "required": [
            {"claim": "tenant", "equals": "shop"},
            {"claim": "role", "oneOf": ["admin", "user"]},
            {"claim": "/realm_access/roles", "contains": "chat"},
        ],
    });
    vec![
        accepts("tokens_of_an_issuer", issuer("clockSkew", json!("5m"))),
        accepts(
            "keys_in_the_object",
            issuer("jwks", json!({"inline": "{\"keys\": []}"})),
        ),
        accepts("claims_of_every_kind", issuer("claims", whole)),
        accepts(
            "algorithms_of_choice",
            issuer("algorithms", json!(["ES256", "EdDSA"])),
        ),
        rejects(
            "tokens_signed_by_a_shared_secret",
            issuer("algorithms", json!(["HS256"])),
            "spec.auth.jwt[0].algorithms[0]",
            "Unsupported value",
        ),
        rejects(
            "keys_from_nowhere",
            issuer("jwks", json!({})),
            "spec.auth.jwt[0].jwks",
            one_source,
        ),
        rejects(
            "keys_from_two_places",
            issuer("jwks", json!({"url": "https://a.example", "inline": "{}"})),
            "spec.auth.jwt[0].jwks",
            one_source,
        ),
        rejects(
            "tokens_for_anybody",
            issuer("audiences", json!([])),
            "spec.auth.jwt[0].audiences",
            "at least 1 items",
        ),
        rejects(
            "clocks_that_are_far_apart",
            issuer("clockSkew", json!("6m")),
            "spec.auth.jwt[0]",
            "clockSkew must not be longer than 5m",
        ),
        rejects(
            "a_claim_without_a_rule",
            rule(json!({"claim": "tenant"})),
            "spec.auth.jwt[0].claims.required[0]",
            one_test,
        ),
        rejects(
            "a_claim_with_two_rules",
            rule(json!({"claim": "tenant", "equals": "a", "contains": "b"})),
            "spec.auth.jwt[0].claims.required[0]",
            one_test,
        ),
        rejects(
            "anonymous_and_tokens",
            spec(json!({"auth": {"jwt": [{
                "name": "corp", "issuer": "i", "audiences": ["a"], "jwks": {"inline": "{}"},
            }]}})),
            "spec.auth",
            "set anonymous alone, or at least one of apiKeys, jwt, introspection and clientCertificates",
        ),
    ]
}

fn introspection() -> Vec<Row> {
    let server = |field: &str, value: Value| {
        let mut server = json!({
            "url": "https://login.example.com/introspect",
            "clientID": "gateway",
            "clientSecret": {"secretKeyRef": {"name": "oauth", "key": "secret"}},
        });
        server[field] = value;
        known_by("introspection", &server)
    };
    vec![
        accepts(
            "tokens_that_a_server_knows",
            server("cacheTTL", json!("0s")),
        ),
        rejects(
            "answers_that_are_believed_for_a_day",
            server("cacheTTL", json!("24h")),
            "spec.auth.introspection",
            "cacheTTL must not be longer than 1h",
        ),
        rejects(
            "a_client_without_a_secret",
            server("clientSecret", json!(null)),
            "spec.auth.introspection.clientSecret",
            "Required value",
        ),
    ]
}

const PLACE_RULE: &str = "set exactly one of secretKeyRef and configMapKeyRef";

fn client_certificates() -> Vec<Row> {
    const AUTHORITIES: &str = "spec.auth.clientCertificates.caCertificate";
    let place = json!({"name": "callers", "key": "ca.crt"});
    let secret = ("secretKeyRef", &place);
    let config_map = ("configMapKeyRef", &place);
    let authorities = |places: &[(&str, &Value)]| {
        let value: Value = places
            .iter()
            .map(|(kind, at)| (*kind, (*at).clone()))
            .collect();
        known_by("clientCertificates", &json!({"caCertificate": value}))
    };
    let certificates = json!({"caCertificate": {"secretKeyRef": place}});
    let without_tls = json!({
        "auth": {"anonymous": null, "clientCertificates": certificates},
        "tls": {"disabled": {}},
    });
    let mut named = certificates.clone();
    named["names"] = json!(["spiffe://shop/*"]);
    named["mode"] = "Required".into();
    vec![
        defaults(
            "certificates_get_the_documented_mode",
            known_by("clientCertificates", &certificates),
            json!({"spec": {"auth": {"clientCertificates": {"mode": "Optional"}}}}),
        ),
        accepts(
            "certificates_with_names",
            known_by("clientCertificates", &named),
        ),
        accepts("authorities_in_a_config_map", authorities(&[config_map])),
        rejects(
            "authorities_nowhere",
            authorities(&[]),
            AUTHORITIES,
            PLACE_RULE,
        ),
        rejects(
            "authorities_in_two_places",
            authorities(&[secret, config_map]),
            AUTHORITIES,
            PLACE_RULE,
        ),
        rejects(
            "certificates_without_tls",
            spec(without_tls),
            "spec",
            "clientCertificates are shown in the TLS handshake: leave out tls.disabled",
        ),
    ]
}

fn revocation_lists() -> Vec<Row> {
    let place = json!({"name": "callers", "key": "ca.crl"});
    let secret_value = json!({"secretKeyRef": place});
    let listed = |lists: Value| {
        let mut certificates = json!({"caCertificate": secret_value});
        for (field, value) in lists.as_object().into_iter().flatten() {
            certificates[field] = value.clone();
        }
        known_by("clientCertificates", &certificates)
    };
    vec![
        accepts(
            "revocation_lists",
            listed(json!({
                "revocationLists": [{"secretKeyRef": place}, {"configMapKeyRef": place}],
                "outdatedRevocationLists": "Accept",
            })),
        ),
        rejects(
            "no_revocation_list",
            listed(json!({"revocationLists": []})),
            "spec.auth.clientCertificates.revocationLists",
            "should have at least 1 items",
        ),
        rejects(
            "a_revocation_list_nowhere",
            listed(json!({"revocationLists": [{}]})),
            "spec.auth.clientCertificates.revocationLists[0]",
            PLACE_RULE,
        ),
        rejects(
            "outdated_lists_without_lists",
            listed(json!({"outdatedRevocationLists": "Accept"})),
            "spec.auth.clientCertificates",
            "outdatedRevocationLists says what revocationLists count for: set those, too",
        ),
        rejects(
            "outdated_lists_that_are_ignored",
            listed(json!({"revocationLists": [secret_value], "outdatedRevocationLists": "Ignore"})),
            "spec.auth.clientCertificates.outdatedRevocationLists",
            "Unsupported value: \"Ignore\"",
        ),
    ]
}

fn sizes() -> Vec<Row> {
    vec![
        accepts("a_large_gateway", spec(json!({"size": "Large"}))),
        rejects(
            "an_unknown_size",
            spec(json!({"size": "Huge"})),
            "spec.size",
            "Unsupported value: \"Huge\"",
        ),
        accepts(
            "resources_as_numbers_and_text",
            spec(json!({"resources": {"cpu": 2, "memory": "6Gi"}, "storage": {"size": "20Gi"}})),
        ),
        rejects(
            "memory_that_is_no_quantity",
            spec(json!({"resources": {"memory": "6 GB"}})),
            "spec.resources.memory",
            "should match",
        ),
    ]
}

fn scaling() -> Vec<Row> {
    let scaled = |autoscaling: Value| spec(json!({ "autoscaling": autoscaling }));
    vec![
        accepts("scaled_to_zero", spec(json!({"replicas": 0}))),
        rejects(
            "fewer_than_no_replicas",
            spec(json!({"replicas": -1})),
            "spec.replicas",
            "greater than or equal to 0",
        ),
        rejects(
            "1001_replicas",
            spec(json!({"replicas": 1001})),
            "spec.replicas",
            "less than or equal to 1000",
        ),
        defaults(
            "an_autoscaler_gets_the_documented_defaults",
            scaled(json!({"maxReplicas": 10})),
            scaled(
                json!({"minReplicas": 1, "maxReplicas": 10, "cpuUtilization": 70, "windowSeconds": 600, "stepPods": 2}),
            ),
        ),
        rejects(
            "replicas_beside_an_autoscaler",
            spec(json!({"replicas": 2, "autoscaling": {"maxReplicas": 3}})),
            "spec",
            "replicas belongs to the autoscaler once autoscaling is set: remove spec.replicas or spec.autoscaling",
        ),
        rejects(
            "fewest_above_most",
            scaled(json!({"minReplicas": 4, "maxReplicas": 3})),
            "spec.autoscaling",
            "minReplicas must not be greater than maxReplicas",
        ),
        rejects(
            "cpu_over_100_percent",
            scaled(json!({"maxReplicas": 3, "cpuUtilization": 101})),
            "cpuUtilization",
            "less than or equal to 100",
        ),
        rejects(
            "a_window_of_two_hours",
            scaled(json!({"maxReplicas": 3, "windowSeconds": 7200})),
            "windowSeconds",
            "less than or equal to 3600",
        ),
        rejects(
            "steps_of_no_pods",
            scaled(json!({"maxReplicas": 3, "stepPods": 0})),
            "stepPods",
            "greater than or equal to 1",
        ),
    ]
}

fn accelerators() -> Vec<Row> {
    let accelerated = |accelerator: Value| spec(json!({ "accelerator": accelerator }));
    let rule =
        "count, resourceName, nodeSelector, tolerations and runtimeClassName need type: Nvidia";
    let at = "spec.accelerator";
    vec![
        accepts(
            "a_gpu_with_everything",
            accelerated(json!({
                "type": "Nvidia", "count": 2, "resourceName": "nvidia.com/mig-1g.5gb", "runtimeClassName": "nvidia",
                "nodeSelector": {"gpu": "h200"}, "tolerations": [{"key": "gpu", "operator": "Exists"}],
            })),
        ),
        accepts("no_accelerator", accelerated(json!({"type": "None"}))),
        rejects(
            "an_unknown_accelerator",
            accelerated(json!({"type": "Tpu"})),
            at,
            "Unsupported value: \"Tpu\"",
        ),
        rejects(
            "a_count_without_a_gpu",
            accelerated(json!({"count": 1})),
            at,
            rule,
        ),
        rejects(
            "a_resource_without_a_gpu",
            accelerated(json!({"type": "None", "resourceName": "nvidia.com/gpu"})),
            at,
            rule,
        ),
        rejects(
            "a_node_selector_without_a_gpu",
            accelerated(json!({"nodeSelector": {"a": "b"}})),
            at,
            rule,
        ),
        rejects(
            "tolerations_without_a_gpu",
            accelerated(json!({"tolerations": [{"operator": "Exists"}]})),
            at,
            rule,
        ),
        rejects(
            "a_runtime_class_without_a_gpu",
            accelerated(json!({"runtimeClassName": "nvidia"})),
            at,
            rule,
        ),
        rejects(
            "no_gpus",
            accelerated(json!({"type": "Nvidia", "count": 0})),
            at,
            "greater than or equal to 1",
        ),
        rejects(
            "a_resource_name_without_a_domain",
            accelerated(json!({"type": "Nvidia", "resourceName": "gpu"})),
            "spec.accelerator.resourceName",
            "should match",
        ),
    ]
}

fn services() -> Vec<Row> {
    let service = |service: Value| spec(json!({ "service": service }));
    vec![
        accepts(
            "a_load_balancer_for_some",
            service(
                json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"], "annotations": {"a": "b"}}),
            ),
        ),
        rejects(
            "an_unknown_service_type",
            service(json!({"type": "ExternalName"})),
            "spec.service.type",
            "Unsupported value: \"ExternalName\"",
        ),
        rejects(
            "source_ranges_without_a_load_balancer",
            service(json!({"type": "NodePort", "loadBalancerSourceRanges": ["10.0.0.0/8"]})),
            "spec.service",
            "loadBalancerSourceRanges needs type: LoadBalancer",
        ),
    ]
}

fn network_policies() -> Vec<Row> {
    let policy = |policy: Value| spec(json!({ "networkPolicy": policy }));
    let rule = "ingressFrom, managementFrom, apiServerRanges and egress need enabled: true";
    let peers = json!([{"namespaceSelector": {"matchLabels": {"team": "shop"}}}]);
    vec![
        accepts(
            "a_policy_with_everything",
            policy(json!({
                "ingressFrom": peers, "managementFrom": [{"ipBlock": {"cidr": "10.9.0.0/16"}}],
                "apiServerRanges": ["10.0.0.1/32", "fd00::1/128"],
                "egress": [{"ports": [{"port": 3128, "protocol": "TCP"}, {"port": "web"}]}],
            })),
        ),
        accepts("no_policy", policy(json!({"enabled": false}))),
        rejects(
            "callers_without_a_policy",
            policy(json!({"enabled": false, "ingressFrom": peers})),
            "spec.networkPolicy",
            rule,
        ),
        rejects(
            "nobody_as_the_only_caller",
            policy(json!({"ingressFrom": []})),
            "spec.networkPolicy.ingressFrom",
            "at least 1 items",
        ),
        rejects(
            "a_name_for_the_api_server",
            policy(json!({"apiServerRanges": ["kubernetes.default"]})),
            "spec.networkPolicy.apiServerRanges[0]",
            "should match",
        ),
    ]
}

fn callers() -> Vec<Row> {
    let field = |field: &str, ranges: Value| spec(json!({field: ranges}));
    vec![
        accepts(
            "callers_of_a_network_behind_a_proxy",
            spec(
                json!({"ipAllowList": ["10.0.0.0/8", "fd00::/8"], "trustedProxies": ["10.1.0.0/16"]}),
            ),
        ),
        rejects(
            "nobody_as_the_only_caller_by_address",
            field("ipAllowList", json!([])),
            "spec.ipAllowList",
            "at least 1 items",
        ),
        rejects(
            "a_name_for_a_proxy",
            field("trustedProxies", json!(["ingress.infra"])),
            "spec.trustedProxies[0]",
            "should match",
        ),
    ]
}

fn outbound() -> Vec<Row> {
    let allowed = |key: &str, values: Value| spec(json!({"outbound": {key: values}}));
    vec![
        accepts(
            "ranges_and_hosts_to_call",
            spec(json!({"outbound": {
                "allowedCIDRs": ["10.0.0.0/8", "fd00::/8"],
                "allowedHosts": ["vllm", "vllm.shop.svc.cluster.local"],
            }})),
        ),
        rejects(
            "an_address_without_a_prefix",
            allowed("allowedCIDRs", json!(["10.0.0.1"])),
            "spec.outbound.allowedCIDRs[0]",
            "should match",
        ),
        rejects(
            "a_url_for_a_host",
            allowed("allowedHosts", json!(["http://vllm"])),
            "spec.outbound.allowedHosts[0]",
            "should match",
        ),
        rejects(
            "no_host_at_all",
            allowed("allowedHosts", json!([])),
            "spec.outbound.allowedHosts",
            "at least 1 items",
        ),
    ]
}

fn exposures() -> Vec<Row> {
    let route = |route: Value| spec(json!({ "httpRoute": route }));
    vec![
        accepts(
            "a_route_and_an_ingress",
            spec(json!({
                "httpRoute": {"parentRefs": [{"name": "edge", "namespace": "infra"}], "hostnames": ["a.example"]},
                "ingress": {"host": "b.example", "className": "nginx", "tlsSecretName": "b"},
            })),
        ),
        rejects(
            "a_route_to_nowhere",
            route(json!({"parentRefs": []})),
            "spec.httpRoute.parentRefs",
            "at least 1 items",
        ),
        rejects(
            "an_ingress_without_a_host",
            spec(json!({"ingress": {"className": "nginx"}})),
            "spec.ingress.host",
            "Required value",
        ),
        defaults(
            "what_is_told_has_the_documented_defaults",
            json!({}),
            spec(json!({"observability": {
                "logLevel": "Info", "logFormat": "Json", "podMonitor": {"enabled": true}, "alerts": {"enabled": true},
                "dashboard": {"enabled": false},
            }})),
        ),
        rejects(
            "an_unknown_log_level",
            spec(json!({"observability": {"logLevel": "Loud"}})),
            "spec.observability.logLevel",
            "Unsupported value: \"Loud\"",
        ),
    ]
}

fn storage() -> Vec<Row> {
    let claimed = |claim: Value, more: Value| {
        let mut fields = json!({"storage": {"size": "20Gi", "persistentVolumeClaim": claim}});
        let more = more.as_object().expect("fields").clone();
        fields.as_object_mut().expect("fields").extend(more);
        spec(fields)
    };
    let rule = "a ReadWriteOnce claim serves one replica: set accessMode: ReadWriteMany";
    let size = |size: &str| spec(json!({"storage": {"size": size}}));
    vec![
        defaults(
            "a_claim_gets_the_documented_defaults",
            claimed(json!({}), json!({})),
            claimed(
                json!({"accessMode": "ReadWriteOnce", "whenDeleted": "Retain"}),
                json!({}),
            ),
        ),
        accepts(
            "a_shared_claim_of_three_replicas",
            claimed(
                json!({"accessMode": "ReadWriteMany"}),
                json!({"replicas": 3}),
            ),
        ),
        rejects(
            "a_claim_of_one_node_and_two_replicas",
            claimed(json!({}), json!({"replicas": 2})),
            "spec",
            rule,
        ),
        rejects(
            "a_claim_of_one_node_and_an_autoscaler",
            claimed(json!({}), json!({"autoscaling": {"maxReplicas": 2}})),
            "spec",
            rule,
        ),
        rejects(
            "an_unknown_access_mode",
            claimed(json!({"accessMode": "ReadOnlyMany"}), json!({})),
            "accessMode",
            "Unsupported value",
        ),
        edits(
            "a_claim_that_grows",
            claimed(json!({}), json!({})),
            size("21Gi"),
        ),
        edits(
            "a_claim_of_the_same_size",
            claimed(json!({}), json!({})),
            size("20480Mi"),
        ),
        refuses_edit(
            "a_claim_that_shrinks",
            claimed(json!({}), json!({})),
            size("19Gi"),
            ("spec.storage", "a claim grows but never shrinks"),
        ),
        refuses_edit(
            "another_access_mode",
            claimed(json!({}), json!({})),
            claimed(json!({"accessMode": "ReadWriteMany"}), json!({})),
            (
                "spec.storage.persistentVolumeClaim",
                "accessMode of a claim cannot change",
            ),
        ),
        refuses_edit(
            "another_storage_class",
            claimed(json!({"storageClassName": "slow"}), json!({})),
            claimed(json!({"storageClassName": "fast"}), json!({})),
            (
                "spec.storage.persistentVolumeClaim",
                "storageClassName of a claim cannot change",
            ),
        ),
    ]
}

fn certificates() -> Vec<Row> {
    let tls = |tls: Value| spec(json!({ "tls": tls }));
    let one = "set exactly one of selfSigned, issuerRef, secretRef and disabled";
    vec![
        accepts(
            "a_self_signed_certificate_for_more_hosts",
            tls(json!({"selfSigned": {"hosts": ["chat.example", "10.1.2.3"]}})),
        ),
        accepts(
            "a_certificate_from_a_secret",
            tls(json!({"secretRef": {"name": "own-tls"}})),
        ),
        defaults(
            "an_issuer_of_cert_manager_gets_the_documented_defaults",
            tls(json!({"issuerRef": {"name": "public"}})),
            tls(
                json!({"issuerRef": {"name": "public", "kind": "Issuer", "group": "cert-manager.io"}}),
            ),
        ),
        accepts("no_tls", tls(json!({"disabled": {}}))),
        rejects("tls_of_no_kind", tls(json!({})), "spec.tls", one),
        rejects(
            "tls_of_two_kinds",
            tls(json!({"selfSigned": {}, "disabled": {}})),
            "spec.tls",
            one,
        ),
        rejects(
            "tls_of_all_kinds",
            tls(json!({"selfSigned": {}, "secretRef": {"name": "a"}, "disabled": {}})),
            "spec.tls",
            one,
        ),
        rejects(
            "an_empty_secret_name",
            tls(json!({"secretRef": {"name": ""}})),
            "spec.tls.secretRef.name",
            "at least 1 chars long",
        ),
    ]
}

fn limits() -> Vec<Row> {
    let limits = |limits: Value| spec(json!({ "limits": limits }));
    vec![
        accepts(
            "all_limits",
            limits(json!({"requestsPerSecond": 100, "maxConnections": 10, "maxBodyBytes": 1024})),
        ),
        rejects(
            "no_requests_at_all",
            limits(json!({"requestsPerSecond": 0})),
            "requestsPerSecond",
            "greater than or equal to 1",
        ),
        rejects(
            "bodies_of_one_byte",
            limits(json!({"maxBodyBytes": 1})),
            "maxBodyBytes",
            "greater than or equal to 1024",
        ),
    ]
}

/// Everything that may be limited by the minute, day or month.
fn budget() -> Value {
    json!({
        "requestsPerMinute": 600,
        "tokensPerMinute": 100_000,
        "tokensPerDay": 1_000_000,
        "tokensPerMonth": 10_000_000,
        "costPerDay": "12.5",
        "costPerMonth": 200,
        "concurrentStreams": 20,
    })
}

fn priced(limits: Value) -> Value {
    json!({
        "name": "big",
        "remote": {"provider": "OpenAI", "baseURL": "https://api.example.com/v1"},
        "prices": {"inputPerMillion": "0.15", "outputPerMillion": "0.60"},
        "limits": limits,
    })
}

const PRICES_RULE: &str = "a limit of cost needs the prices of every remote model";

fn budgets() -> Vec<Row> {
    let limits = |limits: Value| spec(json!({ "limits": limits }));
    let mut all = budget();
    all["perKey"] = budget();
    all["timeZone"] = json!("Europe/Berlin");
    let mut unpriced = priced(json!({"tokensPerDay": 5}));
    unpriced["prices"] = Value::Null;
    let mut unpriced_cost = unpriced.clone();
    unpriced_cost["limits"] = json!({"costPerDay": 5});
    let cost = json!({"costPerMonth": "0.000001"});
    vec![
        accepts(
            "every_budget_of_gateway_key_and_model",
            spec(json!({"limits": all, "models": [priced(budget())]})),
        ),
        rejects(
            "no_tokens_at_all",
            limits(json!({"tokensPerDay": 0})),
            "tokensPerDay",
            "greater than or equal to 1",
        ),
        rejects(
            "a_negative_cost",
            limits(json!({"costPerDay": -1})),
            "costPerDay",
            "greater than or equal to 0",
        ),
        rejects(
            "a_cost_in_words",
            limits(json!({"costPerDay": "ten"})),
            "costPerDay",
            "should match",
        ),
        rejects(
            "a_cost_too_fine",
            limits(json!({"costPerDay": "0.1234567"})),
            "costPerDay",
            "should match",
        ),
        rejects(
            "a_time_zone_that_is_a_path",
            limits(json!({"tokensPerDay": 1, "timeZone": "../etc/passwd"})),
            "timeZone",
            "should match",
        ),
        accepts(
            "a_budget_of_a_model_without_prices",
            model(unpriced.clone()),
        ),
        rejects(
            "a_cost_of_a_model_without_prices",
            model(unpriced_cost),
            "",
            "a limit of cost needs prices",
        ),
        rejects(
            "a_cost_of_the_gateway_without_prices",
            spec(json!({"limits": cost, "models": [unpriced]})),
            "",
            PRICES_RULE,
        ),
        rejects(
            "a_cost_of_keys_without_prices",
            spec(json!({"limits": {"perKey": cost}, "models": [unpriced]})),
            "",
            PRICES_RULE,
        ),
        accepts("a_cost_where_models_are_local", limits(cost)),
    ]
}

const SHARED_RULE: &str = "limits by the minute, day or month are shared by all replicas";

fn shared_budgets() -> Vec<Row> {
    let two = |more: Value| {
        let mut spec = json!({"replicas": 2});
        for (name, value) in more.as_object().expect("an object") {
            spec[name] = value.clone();
        }
        self::spec(spec)
    };
    let postgres = json!({"postgres": {"secretKeyRef": {"name": "db", "key": "url"}}});
    let per_day = json!({"tokensPerDay": 1000});
    let each =
        json!({"requestsPerSecond": 5, "concurrentStreams": 5, "perKey": {"concurrentStreams": 1}});
    let mut scaled = two(json!({"limits": per_day}));
    scaled["spec"]["replicas"] = Value::Null;
    scaled["spec"]["autoscaling"] = json!({"minReplicas": 1, "maxReplicas": 2});
    vec![
        accepts(
            "two_replicas_with_limits_of_their_own",
            two(json!({ "limits": each })),
        ),
        accepts(
            "two_replicas_that_share_limits",
            two(json!({"limits": per_day, "state": postgres})),
        ),
        rejects(
            "two_replicas_that_share_nothing",
            two(json!({"limits": per_day})),
            "",
            SHARED_RULE,
        ),
        rejects(
            "two_replicas_with_a_file_each",
            two(json!({"limits": per_day, "state": {"sqlite": {}}})),
            "",
            SHARED_RULE,
        ),
        rejects(
            "two_replicas_with_limits_of_keys",
            two(json!({"limits": {"perKey": {"requestsPerMinute": 1}}})),
            "",
            SHARED_RULE,
        ),
        rejects(
            "two_replicas_with_limits_of_models",
            two(json!({"models": [priced(json!({"costPerMonth": 1}))]})),
            "",
            SHARED_RULE,
        ),
        rejects("an_autoscaler_of_two_replicas", scaled, "", SHARED_RULE),
    ]
}

fn states() -> Vec<Row> {
    let state = |state: Value| spec(json!({ "state": state }));
    let one_of = "set exactly one of sqlite and postgres";
    let postgres = json!({"secretKeyRef": {"name": "db", "key": "url"}});
    let keys = |names: &[&str]| {
        let keys = names
            .iter()
            .map(|key| json!({"secretKeyRef": {"name": "state-keys", "key": key}}));
        json!({"keys": keys.collect::<Vec<_>>()})
    };
    vec![
        accepts("a_file", state(json!({"sqlite": {}}))),
        accepts("a_server", state(json!({"postgres": postgres}))),
        rejects(
            "two_states",
            state(json!({"sqlite": {}, "postgres": postgres})),
            "spec.state",
            one_of,
        ),
        rejects(
            "a_state_that_is_neither",
            state(json!({})),
            "spec.state",
            one_of,
        ),
        rejects(
            "a_server_without_a_url",
            state(json!({"postgres": {}})),
            "spec.state.postgres.secretKeyRef",
            "Required",
        ),
        accepts(
            "a_file_with_keys",
            state(json!({"sqlite": {}, "encryption": keys(&["new", "old"])})),
        ),
        accepts(
            "a_server_with_a_key",
            state(json!({"postgres": postgres, "encryption": keys(&["new"])})),
        ),
        rejects(
            "keys_without_a_database",
            state(json!({"encryption": keys(&["new"])})),
            "spec.state",
            one_of,
        ),
        rejects(
            "no_key",
            state(json!({"sqlite": {}, "encryption": keys(&[])})),
            "spec.state.encryption.keys",
            "should have at least 1 items",
        ),
        rejects(
            "a_key_twice",
            state(json!({"sqlite": {}, "encryption": keys(&["new", "old", "new"])})),
            "spec.state.encryption.keys",
            "each key is listed once",
        ),
        rejects(
            "a_key_in_the_object",
            state(json!({"sqlite": {}, "encryption": {"keys": ["c2VjcmV0"]}})),
            "spec.state.encryption.keys[0]",
            "must be of type object",
        ),
    ]
}

fn traces() -> Vec<Row> {
    let tracing = |tracing: Value| spec(json!({"observability": {"tracing": tracing}}));
    let collector = "http://otel-collector.monitoring.svc:4318";
    vec![
        accepts(
            "a_collector_of_some_traces",
            tracing(json!({"otlpEndpoint": collector, "samplingPercent": 5})),
        ),
        rejects(
            "a_collector_that_is_no_url",
            tracing(json!({"otlpEndpoint": "otel-collector:4317"})),
            "spec.observability.tracing.otlpEndpoint",
            "should match",
        ),
        rejects(
            "more_traces_than_requests",
            tracing(json!({"otlpEndpoint": collector, "samplingPercent": 101})),
            "spec.observability.tracing.samplingPercent",
            "less than or equal to 100",
        ),
    ]
}

fn audits() -> Vec<Row> {
    let audit = |audit: Value| spec(json!({ "audit": audit }));
    vec![
        accepts("an_audit_log_with_defaults", audit(json!({}))),
        accepts(
            "an_audit_log_of_ten_years",
            audit(json!({"retentionDays": 3650, "onFailure": "Shed"})),
        ),
        rejects(
            "an_audit_log_of_half_a_year_less_a_day",
            audit(json!({"retentionDays": 179})),
            "spec.audit.retentionDays",
            "greater than or equal to 180",
        ),
        rejects(
            "an_audit_log_with_half_of_what_was_said",
            audit(json!({"content": "Half"})),
            "spec.audit.content",
            "Unsupported value",
        ),
        accepts(
            "an_audit_log_with_what_was_said",
            audit(json!({"content": "Full"})),
        ),
        rejects(
            "an_audit_log_that_ignores_failures",
            audit(json!({"onFailure": "Ignore"})),
            "spec.audit.onFailure",
            "Unsupported value",
        ),
    ]
}

fn audit_sinks() -> Vec<Row> {
    let sinks = |sinks: Value| spec(json!({ "audit": { "sinks": sinks } }));
    let with = |key: &str, value: Value| {
        let mut sink = json!({"name": "siem", "http": {"url": "https://siem.example.com/in"}});
        sink[key] = value;
        sinks(json!([sink]))
    };
    let one_of = "set exactly one of http, syslog and otlp";
    let value = json!({"secretKeyRef": {"name": "siem", "key": "token"}});
    let tls = json!({"caCertificate": value, "clientCertificate": {"name": "client"}});
    vec![
        accepts(
            "a_sink_of_each_kind",
            sinks(json!([
                {"name": "a", "onFailure": "Block", "maxBehind": 1000, "http": {
                    "url": "https://siem.example.com/in", "bearerToken": value,
                    "headers": [{"name": "X-Tenant", "valueFrom": value}], "tls": tls,
                }},
                {"name": "b", "onFailure": "Shed", "syslog": {"host": "logs.example.com", "port": 6515, "tls": tls}},
                {"name": "c", "otlp": {"endpoint": "http://collector.ops.svc:4318"}},
            ])),
        ),
        rejects(
            "two_sinks_of_one_name",
            sinks(json!([
                {"name": "a", "syslog": {"host": "one"}},
                {"name": "a", "syslog": {"host": "two"}},
            ])),
            "spec.audit.sinks[1]",
            "Duplicate value",
        ),
        rejects(
            "a_sink_to_nowhere",
            sinks(json!([{"name": "a"}])),
            "spec.audit.sinks[0]",
            one_of,
        ),
        rejects(
            "a_sink_to_two_places",
            with("syslog", json!({"host": "logs"})),
            "spec.audit.sinks[0]",
            one_of,
        ),
        rejects(
            "a_limit_on_a_sink_that_nobody_waits_for",
            with("maxBehind", 1000.into()),
            "spec.audit.sinks[0]",
            "maxBehind is for onFailure: Block only",
        ),
        rejects(
            "a_sink_that_is_called_like_a_path",
            with("name", "../siem".into()),
            "spec.audit.sinks[0].name",
            "should match",
        ),
        rejects(
            "a_sink_that_is_called_as_the_archive",
            with("name", "archive".into()),
            "spec.audit.sinks[0]",
            "archive is what metrics and status call spec.audit.archive",
        ),
        rejects(
            "a_sink_of_another_protocol",
            with("http", json!({"url": "ftp://siem.example.com"})),
            "spec.audit.sinks[0].http.url",
            "should match",
        ),
        rejects(
            "a_syslog_server_as_a_url",
            sinks(json!([{"name": "a", "syslog": {"host": "tls://logs"}}])),
            "spec.audit.sinks[0].syslog.host",
            "should match",
        ),
    ]
}

fn audit_archives() -> Vec<Row> {
    let with = |key: &str, value: Value| {
        let keys = json!({"secretKeyRef": {"name": "storage", "key": "key"}});
        let mut archive = json!({"bucket": "audit", "accessKeyId": keys, "secretAccessKey": keys});
        archive[key] = value;
        spec(json!({ "audit": { "archive": archive } }))
    };
    vec![
        accepts(
            "an_archive_at_amazon",
            with("region", "eu-central-1".into()),
        ),
        accepts(
            "an_archive_elsewhere",
            with("endpoint", "https://minio:9000".into()),
        ),
        accepts(
            "an_archive_whose_bucket_is_a_host",
            with("addressing", "VirtualHost".into()),
        ),
        rejects(
            "an_archive_whose_bucket_is_nowhere",
            with("addressing", "Header".into()),
            "spec.audit.archive.addressing",
            "Unsupported value: \"Header\"",
        ),
        accepts(
            "an_archive_in_a_folder",
            with("prefix", "gateways/desk".into()),
        ),
        rejects(
            "an_archive_in_a_folder_of_no_name",
            with("prefix", "gateways//desk".into()),
            "spec.audit.archive.prefix",
            "should match",
        ),
        rejects(
            "an_archive_in_a_bucket_that_cannot_be",
            with("bucket", "Audit".into()),
            "spec.audit.archive.bucket",
            "should match",
        ),
        rejects(
            "an_archive_without_a_key",
            with("secretAccessKey", Value::Null),
            "spec.audit.archive.secretAccessKey",
            "Required value",
        ),
    ]
}
