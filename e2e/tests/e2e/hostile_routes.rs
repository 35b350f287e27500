//! Routes that mean harm: bombs, too many, too big.

use claw_crds::{Channel, ClawGateway, ModelRoute, condition::HasConditions};
use futures::{StreamExt, stream};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    hostile::{apply, channel, config, is_unharmed, route, town},
    objects::Kind,
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases![
        a_bad_pattern_is_named_and_harms_no_other,
        a_pattern_of_any_language_is_served,
    ];
    let alone = cases![
        a_mebibyte_of_routes_is_told_and_taken_back,
        a_thousand_routes_objects_are_served_by_one_gateway,
    ];
    // They keep the operator busy, and the machine.
    cases.extend(alone.into_iter().map(Case::alone));
    cases
}

const VICTIM: &str = "victim";
const PROGRAMMED: (&str, &str, &str) = ("Programmed", "True", "Programmed");
const INVALID: (&str, &str, &str) = ("Accepted", "False", "Invalid");

async fn a_bad_pattern_is_named_and_harms_no_other(context: Context) {
    let operator = town(&context, VICTIM).await;
    let deep = format!("{}a{}", "(".repeat(500), ")".repeat(500));
    let bad = [
        ("explodes", "(a{1000}){1000}"),
        ("explodes-more", r"((\p{L}{100}){100}){100}"),
        ("nests", &deep),
        ("opens", "^/a(b"),
        ("looks-ahead", "^/(?=x)"),
        ("looks-back", r"^/(a)\1"),
        ("counts-down", "a{5,2}"),
        ("repeats-nothing", "*a"),
        ("ends-in-escape", r"^/\"),
        ("names-no-class", r"\p{Klingon}"),
    ];
    let objects: Vec<Value> = bad
        .iter()
        .map(|(name, pattern)| route(VICTIM, name, pattern))
        .collect();
    apply(&context, &objects).await;
    for (name, pattern) in bad {
        let message = context.reports::<ModelRoute>(name, INVALID).await;
        assert!(message.contains("spec.routes[0].pattern"), "{message}");
        let shown = format!("{pattern:?}");
        let begin = &shown[..shown.len().min(20)];
        assert!(message.contains(begin), "{message}\nlacks {begin}");
        assert!(message.len() < 4096, "{} bytes", message.len());
    }
    context.reports::<ModelRoute>(VICTIM, PROGRAMMED).await;
    context.reports::<ClawGateway>(VICTIM, PROGRAMMED).await;
    is_unharmed(&context, &operator).await;
}

/// As a program does: kubectl goes through YAML, which knows no control characters.
async fn create<K: Kind>(context: &Context, object: Value) {
    let object: K = serde_json::from_value(object).expect("an object of the kind");
    let created = context.api().create(&PostParams::default(), &object).await;
    created.expect("created");
}

async fn a_pattern_of_any_language_is_served(context: Context) {
    let operator = town(&context, VICTIM).await;
    let patterns = [
        ("greek", "^/ωμέγα"),
        ("right-to-left", "^/\u{202e}שלום"),
        ("emoji", "^/👩🏽\u{200d}🚀"),
        ("control", "^/\u{1}\u{7f}"),
        ("catastrophe-elsewhere", "^/((((a*)*)*)*)*$"),
    ];
    for (name, pattern) in patterns {
        create::<ModelRoute>(&context, route(VICTIM, name, pattern)).await;
    }
    let mut prompt = channel(VICTIM, "prompt");
    let text = "\u{feff}Ünï\u{202e}cödé \u{1f600} \u{0} \"}]\n---\n${HOME} {{ x }}";
    prompt["spec"]["systemPrompt"] = json!(text);
    create::<Channel>(&context, prompt).await;
    for (name, _) in patterns {
        context.reports::<ModelRoute>(name, PROGRAMMED).await;
    }
    context.reports::<Channel>("prompt", PROGRAMMED).await;
    let config = config(&context, VICTIM).await.expect("rendered");
    for (_, pattern) in patterns {
        let rules = config["routes"].as_array().into_iter().flatten();
        let mut patterns = rules.map(|rule| &rule["pattern"]);
        assert!(patterns.any(|rendered| rendered == pattern), "{pattern}");
    }
    assert_eq!(config["channels"][0]["systemPrompt"], text);
    is_unharmed(&context, &operator).await;
}

/// A Secret holds one mebibyte, and a gateway's table of patterns has a bound as well. What does not fit is left out, the
/// largest first, and all others serve.
async fn a_mebibyte_of_routes_is_told_and_taken_back(context: Context) {
    let operator = town(&context, VICTIM).await;
    let names: Vec<String> = (0..5).map(|number| format!("big-{number}")).collect();
    for name in &names {
        let mut object = route(VICTIM, name, "");
        let rules: Vec<Value> = (0..256)
            .map(|rule| {
                let pattern = format!("^/{name}/{rule}/{}", "x".repeat(1000));
                json!({"pattern": pattern, "model": "big"})
            })
            .collect();
        object["spec"]["routes"] = json!(rules);
        apply(&context, &[object]).await;
    }
    let (left_out, message) = context
        .eventually("a large one is left out", async || {
            for name in &names {
                let route = context.find::<ModelRoute>(name).await?;
                let conditions = route.status.as_ref()?.conditions();
                let found = conditions.iter().find(|condition| {
                    (&*condition.type_, &*condition.status, &*condition.reason) == INVALID
                });
                if let Some(condition) = found {
                    return Some((name.clone(), condition.message.clone()));
                }
            }
            None
        })
        .await;
    assert!(message.contains("the largest are left out"), "{message}");
    assert!(message.len() < 4096, "{} bytes", message.len());
    context.reports::<ClawGateway>(VICTIM, PROGRAMMED).await;
    context.reports::<ModelRoute>(VICTIM, PROGRAMMED).await;
    let rendered = config(&context, VICTIM).await.expect("rendered");
    let rendered = rendered.to_string();
    assert!(rendered.len() < 1 << 20, "{} bytes", rendered.len());
    assert!(rendered.contains("^/victim"));
    assert!(!rendered.contains(&format!("^/{left_out}/")), "{left_out}");
    is_unharmed(&context, &operator).await;

    // Three less, and there is room for the two that remain: for their compiled patterns, too.
    let (gone, kept) = names.split_at(3);
    for name in gone {
        context.delete::<ModelRoute>(name).await;
    }
    for name in kept {
        context.reports::<ModelRoute>(name, PROGRAMMED).await;
    }
    for name in kept {
        context.delete::<ModelRoute>(name).await;
    }
    context
        .eventually("the configuration has none of them", async || {
            let config = config(&context, VICTIM).await?.to_string();
            (!config.contains("^/big-")).then_some(())
        })
        .await;
    context.reports::<ClawGateway>(VICTIM, PROGRAMMED).await;
    context.reports::<ModelRoute>(VICTIM, PROGRAMMED).await;
    is_unharmed(&context, &operator).await;
}

async fn a_thousand_routes_objects_are_served_by_one_gateway(context: Context) {
    const COUNT: usize = 1000;
    const AT_ONCE: usize = 8;
    let operator = town(&context, VICTIM).await;
    let api: Api<ModelRoute> = context.api();
    let created: Vec<kube::Result<ModelRoute>> = stream::iter(0..COUNT)
        .map(|number| {
            let object = route(
                VICTIM,
                &format!("many-{number}"),
                &format!("^/many/{number}$"),
            );
            let api = api.clone();
            async move {
                let object = serde_json::from_value(object).expect("a ModelRoute");
                api.create(&PostParams::default(), &object).await
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    assert!(created.iter().all(Result::is_ok));
    // Each is told of, and not only rendered.
    for number in 0..COUNT {
        context
            .reports::<ModelRoute>(&format!("many-{number}"), PROGRAMMED)
            .await;
    }
    let config = config(&context, VICTIM).await.expect("rendered");
    let rules = config["routes"].as_array().expect("rules");
    assert_eq!(rules.len(), COUNT + 1);
    is_unharmed(&context, &operator).await;
}
