use super::*;
use crate::{
    Channel, ModelRoute,
    compile::{
        Compilation, Secret,
        tests::{compiled, objects},
    },
    model_route::Route,
};

/// A `ModelRoute` like the fixture's, with these patterns.
fn route(name: &str, patterns: impl Iterator<Item = String>) -> ModelRoute {
    let mut object = objects(&[]).routes.remove(0);
    object.metadata.name = Some(name.to_owned());
    let rule = object.spec.routes.remove(0);
    object.spec.routes = patterns
        .map(|pattern| Route {
            pattern: Some(pattern),
            ..rule.clone()
        })
        .collect();
    object
}

/// The names of the objects that were left out.
fn left_out(compilation: &Compilation, what: &str) -> Vec<String> {
    let problems = compilation.problems.iter();
    problems
        .inspect(|problem| assert!(problem.to_string().contains(what), "{problem}"))
        .map(|problem| problem.object.name.clone())
        .collect()
}

/// The names of the ModelRoutes that serve.
fn serving(compilation: &Compilation) -> Vec<String> {
    let config = compilation.config.as_ref().expect("a configuration");
    let mut names: Vec<String> = config
        .routes
        .iter()
        .map(|route| owner_of(&route.origin).name)
        .collect();
    names.dedup();
    names
}

/// A `Channel` like the fixture's, for so many people.
fn channel(name: &str, people: usize) -> Channel {
    let mut object = objects(&[]).channels.remove(0);
    object.metadata.name = Some(name.to_owned());
    let names = (0..people).map(|person| format!("{person:0250}"));
    object.spec.access.allow_from = Some(names.collect());
    object
}

#[test]
fn what_fits_is_left_alone() {
    let mut selection = objects(&[]);
    selection.routes.push(route(
        "long",
        (0..256).map(|rule| format!("^/{rule}/{}", "x".repeat(1000))),
    ));
    selection.channels.push(channel("crowd", 1000));
    let compilation = compiled(&selection);
    assert_eq!(compilation.problems, []);
    assert_eq!(serving(&compilation), ["long", "main"]);
}

#[test]
fn of_objects_that_are_too_much_together_the_largest_are_left_out() {
    let mut selection = objects(&[]);
    for (name, people) in [("b", 900), ("c", 1000), ("d", 901), ("e", 902), ("f", 903)] {
        selection.channels.push(channel(name, people));
    }
    let compilation = compiled(&selection);
    assert_eq!(left_out(&compilation, "bytes"), ["c"]);
    assert_eq!(serving(&compilation), ["main"]);
    let config = compilation.config.expect("serves");
    let channels: Vec<&str> = config
        .channels
        .iter()
        .map(|channel| channel.name.as_str())
        .collect();
    assert_eq!(channels, ["b", "bot", "d", "e", "f"]);
    assert!(config.to_json().len() <= CONFIG_BYTES);
}

#[test]
fn patterns_that_take_too_much_memory_are_left_out() {
    // A kilobyte in the object, and half a megabyte each once compiled.
    let bombs = (0..256).map(|rule| format!(r"^/{rule}/\w{{20}}"));
    let mut selection = objects(&[]);
    selection.routes.push(route("bombs", bombs));
    let compilation = compiled(&selection);
    assert_eq!(left_out(&compilation, "compiled patterns"), ["bombs"]);
    assert_eq!(serving(&compilation), ["main"]);
}

#[test]
fn keys_beyond_the_room_are_left_out_and_the_others_serve() {
    let mut selection = objects(&[]);
    let data = (0..5000).map(|key| {
        let value = format!("key-of-somebody-{key:016}").into_bytes();
        (format!("caller-{key:04}"), value)
    });
    let secret = Secret {
        annotations: BTreeMap::new(),
        data: data.collect(),
        labels: [("use".to_owned(), "keys".to_owned())].into(),
    };
    selection.secrets.insert("crowd", secret);
    let compilation = compiled(&selection);
    let told = compilation.problems[0].to_string();
    assert!(told.contains("it selects 5001 API keys"), "{told}");
    let AuthConfig::ApiKeys(keys) = compilation.config.expect("serves").auth else {
        unreachable!("the fixture has API keys")
    };
    assert_eq!(keys[0].name, "crowd/caller-0000");
    assert!(told.contains(&format!("first {} by name", keys.len())));
}
