//! Which Channels the API server takes.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a table reads best with json! in place"
)]

use serde_json::{Value, json};

use crate::{
    admit::{Row, Table, accepts, defaults, rejects},
    context::Case,
};

pub(crate) fn cases() -> Vec<Case> {
    table().into_cases(module_path!())
}

fn telegram() -> Value {
    json!({
        "botToken": {"secretKeyRef": {"name": "bot", "key": "token"}},
        "webhookSecret": {"secretKeyRef": {"name": "bot", "key": "secret"}},
    })
}

/// A change that turns the WebSocket channel into a Telegram one.
fn bot(access: Value) -> Value {
    json!({"spec": {"webSocket": null, "telegram": telegram(), "access": access}})
}

pub(crate) fn table() -> Table {
    Table {
        kind: "Channel",
        valid: json!({
            "apiVersion": "claw.dev/v1alpha1",
            "kind": "Channel",
            "metadata": {"name": "web"},
            "spec": {"gatewayRef": {"name": "helpdesk"}, "model": "small", "webSocket": {}, "access": {"direct": "Open"}},
        }),
        rows: [platforms(), accesses(), others()]
            .into_iter()
            .flatten()
            .collect(),
    }
}

fn platforms() -> Vec<Row> {
    let platforms = |platforms: Value| json!({ "spec": platforms });
    let one = "set exactly one of webSocket and telegram";
    let mut elsewhere = bot(json!({"direct": "Open"}));
    elsewhere["spec"]["telegram"]["apiBaseURL"] = json!("not a url");
    let mut in_the_clear = bot(json!({"direct": "Open"}));
    in_the_clear["spec"]["telegram"]["botToken"] = json!("123:abc");
    vec![
        accepts(
            "a_bot_for_all",
            bot(json!({"direct": "Open", "groups": "All"})),
        ),
        rejects(
            "a_channel_of_no_platform",
            platforms(json!({"webSocket": null})),
            "spec",
            one,
        ),
        rejects(
            "a_channel_of_two_platforms",
            platforms(json!({"telegram": telegram()})),
            "spec",
            one,
        ),
        rejects(
            "a_bot_token_in_the_clear",
            in_the_clear,
            "spec.telegram",
            "must be of type object",
        ),
        rejects(
            "an_api_base_url_that_is_none",
            elsewhere,
            "spec.telegram.apiBaseURL",
            "should match",
        ),
    ]
}

fn accesses() -> Vec<Row> {
    let access = |access: Value| json!({"spec": {"access": access}});
    let listed = |names: Value| access(json!({"direct": "AllowList", "allowFrom": names}));
    let groups = "access.groups needs a platform with groups: leave it out with webSocket";
    let list = "direct: AllowList needs allowFrom; say who may write, or set direct: Open";
    vec![
        defaults(
            "a_web_socket_for_everyone",
            json!({}),
            access(json!({"direct": "Open", "groups": "Disabled"})),
        ),
        accepts(
            "a_bot_that_answers_in_groups_when_mentioned",
            bot(
                json!({"direct": "AllowList", "allowFrom": ["42", "@ada"], "groups": "MentionOnly"}),
            ),
        ),
        rejects(
            "groups_on_a_web_socket",
            access(json!({"groups": "All"})),
            "spec",
            groups,
        ),
        rejects(
            "an_allow_list_without_a_list",
            access(json!({"direct": "AllowList"})),
            "spec.access",
            list,
        ),
        rejects(
            "nobody_said_who_is_answered",
            access(json!({"direct": null})),
            "spec.access",
            list,
        ),
        rejects(
            "absent_access",
            json!({"spec": {"access": null}}),
            "spec.access",
            "Required value",
        ),
        rejects(
            "an_empty_allow_list",
            listed(json!([])),
            "spec.access.allowFrom",
            "at least 1 items",
        ),
        rejects(
            "an_empty_name_in_the_allow_list",
            listed(json!([""])),
            "spec.access.allowFrom[0]",
            "at least 1 chars long",
        ),
        rejects(
            "an_unknown_rule_for_groups",
            bot(json!({"direct": "Open", "groups": "Some"})),
            "spec.access.groups",
            "Unsupported value: \"Some\"",
        ),
    ]
}

fn others() -> Vec<Row> {
    let spec = |spec: Value| json!({ "spec": spec });
    vec![
        rejects(
            "an_empty_model",
            spec(json!({"model": ""})),
            "spec.model",
            "at least 1 chars long",
        ),
        rejects(
            "an_empty_system_prompt",
            spec(json!({"systemPrompt": ""})),
            "spec.systemPrompt",
            "at least 1 chars long",
        ),
        rejects(
            "no_gateway",
            spec(json!({"gatewayRef": null})),
            "spec.gatewayRef",
            "Required value",
        ),
    ]
}
