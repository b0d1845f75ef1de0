//! `docs/openapi.json`, held against the router, and against what a running daemon answers.
//! Parameters are held in `crates/proto/src/signalling/documented.rs`; surfaces that need a viewer's
//! program, and the document as foreign programs see it, in `tests/judges/test_api.py`.

#[cfg(feature = "record")]
mod running;

use std::{collections::BTreeSet, fs, path::Path};

use peercam::access::Need;
use peercam_proto::{
    command::{CALL_WORDS, INNER, Inner, STEP_WORDS, TopicName},
    credential::Scope,
    firmware_api::FirmwareRoute,
    route::{MediaAction, Route},
};
use serde_json::{Map, Value};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> Value {
    let text = fs::read_to_string(root().join("docs/openapi.json")).expect("the document");
    serde_json::from_str(&text).expect("JSON")
}

fn members(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("{value}"))
}

fn texts(list: &Value) -> BTreeSet<&str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).collect()
}

/// Schemas whose names begin so, with the rest of the name.
fn schemas<'a>(document: &'a Value, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let all = members(&document["components"]["schemas"]).iter();
    all.filter_map(move |(name, schema)| Some((name.strip_prefix(prefix)?, schema)))
}

/// An operation of the document.
struct Operation<'a> {
    path: &'a str,
    method: String,
    what: &'a Value,
}

impl Operation<'_> {
    fn is_on(&self, surface: &str) -> bool {
        texts(&self.what["x-surfaces"]).contains(surface)
    }

    /// The last part of the path, which routes.
    fn last(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut all = Vec::new();
    for (path, item) in members(&document["paths"]) {
        for (method, what) in members(item) {
            if what.get("operationId").is_some() {
                let method = method.to_ascii_uppercase();
                all.push(Operation { path, method, what });
            }
        }
    }
    all
}

#[test]
fn paths_and_methods_are_those_of_the_router() {
    let document = document();
    let split = |last: &str, methods: &str| {
        let pairs = methods.split(", ");
        let pairs = pairs.map(|method| (last.to_owned(), method.to_owned()));
        pairs.collect::<Vec<_>>()
    };
    let routes = Route::ALL.map(|route| split(route.as_str(), route.allowed_methods()));
    let local = FirmwareRoute::ALL.map(|route| split(route.as_str(), route.allowed_methods()));
    let routed = [routes.concat(), local.concat()].map(BTreeSet::from_iter);
    let documented = |surface: &str| {
        let operations = operations(&document);
        let there = operations.iter().filter(|one| one.is_on(surface));
        let pairs = there.map(|one| (one.last().to_owned(), one.method.clone()));
        pairs.collect::<BTreeSet<_>>()
    };
    assert_eq!(routed, ["open", "loopback"].map(documented));
    assert_eq!(routed[0], documented("p2p"));
    // Over TCP with a token HEAD is refused.
    let mut sealed = routed[0].clone();
    sealed.retain(|(_, method)| method != "HEAD");
    assert_eq!(sealed, documented("token"));
}

#[test]
fn commands_are_those_of_the_router() {
    let document = document();
    let scope = |scope: Option<Scope>| scope.map(Scope::as_str);
    let inner = INNER.map(|inner| (inner.name, scope(inner.scope)));
    let documented =
        schemas(&document, "Command_").map(|(name, it)| (name, it["x-scope"].as_str()));
    let mut documented: BTreeSet<_> = documented.collect();
    assert!(documented.remove(&("user_define", Some("command"))));
    assert_eq!(documented, BTreeSet::from(inner));
    for Inner { name, takes, .. } in INNER {
        let schema = &document["components"]["schemas"][format!("Command_{name}")];
        let mut documented: BTreeSet<_> = members(&schema["properties"]).keys().collect();
        documented.retain(|key| !["action", "cmd"].contains(&key.as_str()));
        // As help tells them: `type=live|voice, progress (ms) or time (s)`.
        let told = takes.split(", ").flat_map(|part| part.split(" or "));
        let told = told.map(|part| part.split(['=', ' ']).next().unwrap_or_default());
        let told: BTreeSet<_> = told
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        assert_eq!(documented, told.iter().collect(), "{name}");
        for (parameter, words) in takes.split(", ").filter_map(|part| part.split_once('=')) {
            let documented = texts(&schema["properties"][parameter]["enum"]);
            let told = words.split('|').filter(|word| *word != "YYYYMM");
            assert!(
                documented.is_superset(&told.collect()),
                "{name}: {parameter}"
            );
        }
    }
    let topics = TopicName::ALL.map(|name| {
        let (Need::Scope(scope) | Need::Device(scope)) = Need::for_topic(name) else {
            panic!("{name:?} needs no scope");
        };
        (name.as_str(), Some(scope.as_str()))
    });
    let documented = schemas(&document, "Topic_").map(|(name, it)| (name, it["x-scope"].as_str()));
    assert_eq!(documented.collect::<BTreeSet<_>>(), BTreeSet::from(topics));
    let steps = STEP_WORDS.map(|(word, _)| word);
    let words = steps.into_iter().chain(CALL_WORDS.map(|(word, _)| word));
    let custom = &document["components"]["schemas"]["Command_user_define"];
    assert_eq!(texts(&custom["x-words"]), words.collect());
    let actions = &document["paths"]["/ipc.flv"]["get"]["x-actions"];
    let actions: BTreeSet<_> = members(actions).keys().map(String::as_str).collect();
    assert_eq!(actions, MediaAction::ALL.map(MediaAction::as_str).into());
}

/// Parameters are read where the test in `proto` sees it.
#[test]
fn no_parameter_is_read_outside_of_proto() {
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            let reads = text.contains("query.value") || text.contains("value_of_any");
            assert!(!reads, "{} reads a parameter", path.display());
        }
    }
}
