//! `docs/openapi.json`, held against the decoders: parameters under every spelling, their words and
//! bounds, and codes. Which paths and commands there are is held by `tests/it/api.rs`.

use std::{cell::RefCell, collections::BTreeSet};

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    command::{Command, StatusQuery, decode_request},
    error::{Error, ErrorKind},
    feedback::Feedback,
    firmware_api::{CallRequest, CallWait, EventRequest},
    media::{ChannelId, Quality},
    query::Query,
    refusal::refusal,
    route::{Labels, MediaAction, MediaRequest, is_strict, wants_clear},
    voice::{Declared, SAMPLE_RATES},
};

thread_local! {
    static READ: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes that somebody asks for a parameter.
pub(super) fn note_read(key: &str) {
    READ.with_borrow_mut(|read| read.insert(key.to_owned()));
}

fn document() -> Value {
    let text = include_str!("../../../../docs/openapi.json");
    serde_json::from_str(text).expect("JSON")
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(text).collect()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A parameter as the document has it.
#[derive(Debug)]
struct Documented {
    spellings: Vec<String>,
    schema: Value,
}

impl Documented {
    fn new(name: &str, schema: &Value, also: &Value) -> Self {
        let spellings = [vec![name.to_owned()], texts(also)].concat();
        let schema = schema.clone();
        Self { spellings, schema }
    }

    /// Values that are taken, and values that are not.
    fn values(&self) -> [Vec<String>; 2] {
        let Self { schema, .. } = self;
        let words = texts(&schema["enum"]);
        if !words.is_empty() {
            return [words, vec!["no-such-word".to_owned()]];
        }
        if let Some(word) = schema["const"].as_str() {
            return [vec![word.to_owned()], Vec::new()];
        }
        let bound = |key: &str| schema[key].as_i64();
        match (schema["type"].as_str(), bound("minimum"), bound("maximum")) {
            (Some("integer"), Some(min), max) => {
                let bad = max.map(|max| (max + 1).to_string());
                let good = [min, max.unwrap_or(min + 1)];
                let bad = bad
                    .into_iter()
                    .chain([(min - 1).to_string(), "x".to_owned()]);
                [good.map(|good| good.to_string()).to_vec(), bad.collect()]
            }
            (Some("string"), ..) if schema["maxLength"].is_u64() => {
                let longest = schema["maxLength"]
                    .as_u64()
                    .and_then(|max| max.try_into().ok());
                let longest = "x".repeat(longest.expect("a length"));
                let longer = format!("{longest}x");
                [vec![longest], vec![longer]]
            }
            (Some("string"), ..) if schema["pattern"].is_string() => {
                [vec!["202401".to_owned()], vec!["2024".to_owned()]]
            }
            _ => [vec!["s16le".to_owned()], Vec::new()],
        }
    }
}

type Reader = fn(&str) -> Result<(), Error>;

/// A request as the document has it, and how it is read.
struct Operation {
    name: String,
    /// What it needs to be read to its end.
    needed: String,
    parameters: Vec<Documented>,
    read: Reader,
}

fn labelled(query: &str) -> Result<Query<'_>, Error> {
    let query = Query::parse(query)?;
    Labels::from_query(&query)?;
    Ok(query)
}

fn media(query: &str) -> Result<(), Error> {
    let query = labelled(query)?;
    wants_clear(&query)?;
    MediaRequest::decode(&query).map(drop)
}

fn voice(query: &str) -> Result<(), Error> {
    let query = labelled(query)?;
    query.channel()?;
    Declared::from_request(&query, None).map(drop)
}

fn command(query: &str) -> Result<(), Error> {
    let damaged = Command::DeviceStatus {
        channel: ChannelId(0),
        query: StatusQuery::Damaged,
    };
    match decode_request(query, "")?.0 {
        // It is answered in its own form.
        command if command == damaged => Err(Error::bad_request("damaged")),
        _ => Ok(()),
    }
}

fn nothing(_: &str) -> Result<(), Error> {
    Ok(())
}

/// Every request of the document.
fn operations() -> Vec<Operation> {
    let document = document();
    let components = &document["components"];
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "post", "put", "head"] {
            let operation = &item[method];
            if operation.is_null() {
                continue;
            }
            let named = operation["parameters"].as_array();
            let named = named.map(Vec::as_slice).unwrap_or_default();
            let parameters = named.iter().map(|reference| {
                let key = reference["$ref"].as_str().expect("a reference");
                let key = key.rsplit('/').next().unwrap_or_default();
                let one = &components["parameters"][key];
                Documented::new(
                    one["name"].as_str().expect("a name"),
                    &one["schema"],
                    &one["x-also"],
                )
            });
            let name = format!("{method} {path}");
            let with = |needed: &str, read| Operation {
                name: name.clone(),
                needed: needed.to_owned(),
                parameters: parameters.clone().collect(),
                read,
            };
            let (needed, read): (_, Reader) = match (&**path, method) {
                ("/ipc.flv", _) => {
                    for action in MediaAction::ALL.map(MediaAction::as_str) {
                        let taken = texts(&operation["x-actions"][action]["parameters"]);
                        let mut one = with(media_needs(action), media);
                        let labels = one.parameters.len() - LABELS;
                        let mut place = 0..;
                        one.parameters.retain(|parameter| {
                            place.next() >= Some(labels) || taken.contains(&parameter.spellings[0])
                        });
                        // Others need other parameters.
                        one.parameters[0].schema = json!({ "const": action });
                        one.name = format!("{name} {action}");
                        all.push(one);
                    }
                    continue;
                }
                // Commands have their own schemas.
                ("/command", _) => continue,
                ("/voice", _) => ("", voice),
                ("/healthz", _) => ("", |query| is_strict(&Query::parse(query)?).map(drop)),
                ("/snapshot.jpg", _) => ("", |query| labelled(query)?.channel().map(drop)),
                ("/event", _) => ("", |query| {
                    EventRequest::decode(&Query::parse(query)?).map(drop)
                }),
                ("/call", "get") => ("", |query| {
                    CallWait::decode(&Query::parse(query)?).map(drop)
                }),
                ("/call", _) => ("do=busy", |query| {
                    CallRequest::decode(&Query::parse(query)?).map(drop)
                }),
                ("/speaker.wav", _) => ("", |query| Query::parse(query)?.channel().map(drop)),
                _ => ("", nothing),
            };
            all.push(with(needed, read));
        }
    }
    let schemas = components["schemas"].as_object().expect("schemas");
    let labels = schemas["Labels"]["properties"].as_object().expect("labels");
    for (name, schema) in schemas
        .iter()
        .filter(|(name, _)| name.starts_with("Command_"))
    {
        let own = schema["properties"].as_object().expect("properties");
        let parameters = own.iter().chain(labels);
        let parameters =
            parameters.map(|(key, schema)| Documented::new(key, schema, &schema["x-also"]));
        let parameters: Vec<_> = parameters.collect();
        let example = schema["examples"][0].as_object().expect("an example");
        let needed = example
            .iter()
            .map(|(key, value)| format!("{key}={}", text(value)));
        all.push(Operation {
            name: name.clone(),
            needed: needed.collect::<Vec<_>>().join("&"),
            parameters,
            read: command,
        });
    }
    all
}

/// The document's last parameters of media are labels.
const LABELS: usize = 4;

fn media_needs(action: &str) -> &'static str {
    match action {
        "playback" => "action=playback&start_time=1&end_time=2",
        "download" => "action=download&file_name=x",
        _ => "action=live",
    }
}

/// The needed parameters, with this one in their place.
fn with(needed: &str, spelling: &str, parameter: &Documented, value: &str) -> String {
    let pairs = needed.split('&').filter(|pair| {
        let key = pair.split('=').next().unwrap_or_default();
        // Of the two places of a seek the other one counts for more.
        let is_other = spelling == "time" && key == "progress";
        let is_same = parameter.spellings.iter().any(|spelling| spelling == key);
        !pair.is_empty() && !is_same && !is_other
    });
    let own = format!("{spelling}={value}");
    let pairs: Vec<_> = pairs.chain([&*own]).collect();
    pairs.join("&")
}

#[test]
fn what_is_read_is_documented_and_what_is_documented_is_read() {
    for Operation {
        name,
        needed,
        parameters,
        read,
    } in operations()
    {
        READ.take();
        let names = || parameters.iter().flat_map(|one| &one.spellings);
        // What is there decides in parts what else is looked for.
        let _ = (read(""), read(&needed));
        for parameter in &parameters {
            for spelling in &parameter.spellings {
                let _ = read(&with(
                    &needed,
                    spelling,
                    parameter,
                    &parameter.values()[0][0],
                ));
            }
            let pairs = needed.split('&');
            let others: Vec<_> = pairs
                .filter(|pair| {
                    let key = pair.split('=').next();
                    key != Some(&parameter.spellings[0])
                })
                .collect();
            let _ = read(&others.join("&"));
        }
        let documented: BTreeSet<String> = names().cloned().collect();
        assert_eq!(READ.take(), documented, "{name}");
    }
}

#[test]
fn words_and_bounds_are_those_of_the_document() {
    let mut seen = 0;
    for Operation {
        name,
        needed,
        parameters,
        read,
    } in operations()
    {
        assert_eq!(read(&needed), Ok(()), "{name}: {needed}");
        for parameter in &parameters {
            let [good, bad] = parameter.values();
            for spelling in &parameter.spellings {
                // The two ends of a window depend on each other.
                let is_end = ["start_time", "end_time"].contains(&&*parameter.spellings[0]);
                for value in good.iter().filter(|_| !is_end) {
                    let query = with(&needed, spelling, parameter, value);
                    assert_eq!(read(&query), Ok(()), "{name}: {query}");
                }
                for value in &bad {
                    let query = with(&needed, spelling, parameter, value);
                    assert!(read(&query).is_err(), "{name}: {query}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 200, "only {seen} values were tried");
}

#[test]
fn codes_are_those_of_the_document() {
    use ErrorKind as K;
    let kinds = [
        K::BadRequest,
        K::Forbidden,
        K::NotFound,
        K::MethodNotAllowed,
        K::BadRange,
        K::TooLarge,
        K::UnsupportedMedia,
        K::Timeout,
        K::Full,
        K::Busy,
        K::Conflict,
        K::Unsupported,
        K::Unavailable,
        K::NoAnswer,
        K::BadAnswer,
    ];
    let told = kinds.map(|kind| {
        let (status, text) = refusal(&Error::new(kind, "x"));
        let text: Value = serde_json::from_str(&text).expect("JSON");
        (status, text["status"].as_str().expect("a code").to_owned())
    });
    let told = told
        .into_iter()
        .chain([(StatusCode::UNAUTHORIZED, "1".to_owned())]);
    let told: BTreeSet<_> = told.map(|(status, code)| (status.as_u16(), code)).collect();
    let document = document();
    let mut documented = BTreeSet::new();
    for operation in document["paths"].as_object().expect("paths").values() {
        for (_, operation) in operation.as_object().expect("operations") {
            let Some(answers) = operation["responses"].as_object() else {
                continue;
            };
            for (status, answer) in answers {
                let Some(reference) = answer["$ref"].as_str() else {
                    continue;
                };
                let key = reference.rsplit('/').next().unwrap_or_default();
                let codes = texts(&document["components"]["responses"][key]["x-status"]);
                let status: u16 = status.parse().expect("a status");
                documented.extend(codes.into_iter().map(|code| (status, code)));
            }
        }
    }
    assert_eq!(documented, told);
    let codes = texts(&document["components"]["schemas"]["Status"]["enum"]);
    let codes: BTreeSet<_> = codes.into_iter().filter(|code| code != "0").collect();
    assert_eq!(codes, told.into_iter().map(|(_, code)| code).collect());
}

#[test]
fn lists_of_words_are_those_of_the_document() {
    let document = document();
    let components = &document["components"];
    let words = |parameter: &str| texts(&components["parameters"][parameter]["schema"]["enum"]);
    let rates = SAMPLE_RATES.map(|rate| rate.to_string());
    assert_eq!(words("sample_rate"), rates);
    assert_eq!(words("quality"), Quality::ALL.map(Quality::as_str));
    let actions = MediaAction::ALL.map(MediaAction::as_str);
    assert_eq!(words("media_action"), actions);
    let query = Query::parse("do=x").expect("a query");
    let unknown = CallRequest::decode(&query).expect_err("there is no x");
    let moves = words("do").join(", ");
    assert!(unknown.reason().ends_with(&moves), "{unknown}");
    let signals = &components["schemas"]["Feedback"]["anyOf"][0]["properties"]["iv_private_cmd"];
    let unknown = Feedback::parse(b"{\"iv_private_cmd\":\"x\"}").expect_err("there is no x");
    let words = texts(&signals["enum"]);
    assert!(unknown.reason().contains(&words.join(", ")), "{unknown}");
}
