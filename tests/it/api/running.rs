//! A running daemon against `docs/openapi.json`: a request for each operation, command and topic.

use std::{net::SocketAddr, time::Duration};

use peercam_proto::credential::PairingUri;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;
use crate::{
    paired::{Device, RawViewer, Reply, opened},
    support::{Answer, HANG, request},
};

/// Checks that a value has the form of a schema: of what JSON Schema has, what the document uses.
fn check(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{place}: {why}: {value}"));
    let Some(schema) = schema.as_object() else {
        return match schema.as_bool() {
            Some(false) => wrong("nothing may stand here"),
            _ => Ok(()),
        };
    };
    for (key, of) in schema {
        match key.as_str() {
            "$ref" => {
                let pointer = of.as_str().unwrap_or_default().trim_start_matches('#');
                let schema = document.pointer(pointer).ok_or(pointer)?;
                check(document, schema, value, place)?;
            }
            "type" => {
                let mut names = texts(of);
                names.extend(of.as_str());
                if !names.iter().any(|name| has_type(value, name)) {
                    return wrong("another type");
                }
            }
            "const" if of != value => return wrong("another word"),
            "enum" if !of.as_array().is_some_and(|all| all.contains(value)) => {
                return wrong("none of the words");
            }
            "pattern" => {
                let digits = value.as_str().unwrap_or("x");
                let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
                if !is_number || digits.is_empty() {
                    return wrong("no digits");
                }
            }
            "required" => {
                if let Some(missing) = texts(of).iter().find(|name| value.get(name).is_none()) {
                    return wrong(&format!("{missing} is missing"));
                }
            }
            "properties" => {
                for (name, schema) in members(of) {
                    if let Some(value) = value.get(name) {
                        check(document, schema, value, &format!("{place}.{name}"))?;
                    }
                }
            }
            "items" => {
                for value in value.as_array().into_iter().flatten() {
                    check(document, of, value, &format!("{place}[]"))?;
                }
            }
            "minItems" | "maxItems" if value.as_array().map(Vec::len) != Some(1) => {
                return wrong("not one");
            }
            "anyOf" => {
                let all = of.as_array().into_iter().flatten();
                let tried: Vec<_> = all
                    .map(|schema| check(document, schema, value, place))
                    .collect();
                if tried.iter().all(Result::is_err) {
                    return wrong(&format!("{tried:?}"));
                }
            }
            "const" | "enum" | "minItems" | "maxItems" | "description" => {}
            other => panic!("{place}: this test does not know {other}"),
        }
    }
    Ok(())
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}

/// What was recorded: the times and the file that the document's examples stand for.
struct Recorded {
    start: i64,
    file: String,
}

impl Recorded {
    /// Waits until a second was recorded.
    async fn wait(address: SocketAddr) -> Self {
        let list = "action=inner_define&cmd=get_file_list&file_type=0";
        let look = async {
            loop {
                let answer = request(address, "POST", "/command", list).await;
                let list: Value = serde_json::from_str(&answer.body).expect("JSON");
                let file = &list["file_list"][0];
                let number = |key: &str| file[key].as_str()?.parse::<i64>().ok();
                if let (Some(start), Some(end)) = (number("start_time"), number("end_time"))
                    && end - start >= 2
                {
                    let file = file["file_name"].as_str().expect("a name").to_owned();
                    return Self { start, file };
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let looked = tokio::time::timeout(HANG, look).await;
        looked.expect("something is recorded")
    }

    /// An example of the document, about what there is.
    fn real(&self, example: &str) -> String {
        let start = self.start.to_string();
        let end = (self.start + 1).to_string();
        let text = example.replace("0-1767225600000.mp4", &self.file);
        let text = text.replace("1767225600", &start);
        text.replace("1767225660", &end).replace("1767311999", &end)
    }
}

fn form(example: &Value) -> String {
    let pairs = members(example).iter().map(|(key, value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        format!("{key}={}", utf8_percent_encode(&text, NON_ALPHANUMERIC))
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Commands and topics: what stands in the body, what is answered, the scope.
fn commands(document: &Value) -> Vec<(String, &Value, Option<&str>)> {
    let of = |schema: &Value| form(&schema["examples"][0]);
    let inner = schemas(document, "Command_").filter(|(_, schema)| !schema["x-answer"].is_null());
    let inner = inner.map(|(_, schema)| (of(schema), schema));
    let topics = schemas(document, "Topic_").map(|(_, schema)| {
        let message =
            utf8_percent_encode(&schema["examples"][0].to_string(), NON_ALPHANUMERIC).to_string();
        (format!("action=user_define&cmd={message}"), schema)
    });
    let all = inner.chain(topics);
    all.map(|(body, schema)| (body, &schema["x-answer"], schema["x-scope"].as_str()))
        .collect()
}

/// Queries that an operation is tried with, and the scope that each needs.
fn queries<'a>(
    document: &Value,
    operation: &Operation<'a>,
    recorded: &Recorded,
) -> Vec<(String, Option<&'a str>)> {
    let what = operation.what;
    if let Some(actions) = what["x-actions"].as_object() {
        let actions = actions.values().map(|action| {
            let example = action["example"].as_str().expect("an example");
            (recorded.real(example), action["scope"].as_str())
        });
        return actions.collect();
    }
    let parameters = what["parameters"].as_array().into_iter().flatten();
    let pairs = parameters.filter_map(|one| {
        let pointer = one["$ref"].as_str()?.trim_start_matches('#');
        let one = document.pointer(pointer)?;
        let example = one["example"].to_string();
        Some(format!(
            "{}={}",
            one["name"].as_str()?,
            example.trim_matches('"')
        ))
    });
    let query = match operation.last() {
        "command" => "action=inner_define&cmd=get_nvr_list".to_owned(),
        _ => pairs.collect::<Vec<_>>().join("&"),
    };
    let scope = what["security"][1]["token"][0].as_str();
    vec![(query, scope)]
}

/// What a request of this path carries.
fn body(path: &str) -> &'static [u8] {
    match path.rsplit('/').next() {
        Some("voice") => &[0x11; 800],
        Some("feedback") => br#"{"my_message":"hello world"}"#,
        _ => b"",
    }
}

/// Asks and reads the answer to its end, or of a stream its beginning.
async fn ask(address: SocketAddr, method: &str, target: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    let bytes = [head.as_bytes(), body].concat();
    stream.write_all(&bytes).await.expect("sends");
    let mut came = Vec::new();
    let has_begun = |came: &[u8]| came.windows(4).any(|four| four == b"FLV\x01");
    let read = async {
        while !has_begun(&came) && stream.read_buf(&mut came).await.expect("reads") > 0 {}
    };
    let read = tokio::time::timeout(HANG, read).await;
    read.expect("it is answered");
    Answer::parse(&came).unwrap_or_else(|| panic!("{method} {target}"))
}

/// Asks on a connection of its own, with a token; of a stream, reads the beginning.
async fn ask_sealed(address: SocketAddr, uri: &PairingUri, asked: (&str, &str, &[u8])) -> Reply {
    const ENOUGH: usize = 4096;
    let (method, target, body) = asked;
    let mut viewer = RawViewer::open(address, uri).await;
    let body = (!body.is_empty()).then_some(body);
    let (bytes, keys) = viewer.request(method, target, body);
    if method != "GET" || !target.contains("action=live") {
        return viewer.exchange_bytes(&bytes, keys).await;
    }
    viewer.stream.write_all(&bytes).await.expect("sends");
    let mut came = Vec::new();
    let read = async {
        while came.len() < ENOUGH && !came.ends_with(b"\r\n0\r\n\r\n") {
            assert_ne!(viewer.stream.read_buf(&mut came).await.expect("reads"), 0);
        }
    };
    tokio::time::timeout(HANG, read)
        .await
        .expect("it is answered");
    opened(&came, keys)
}

/// A device that records, and has a place for each of these tests' viewers.
async fn device() -> (Device, Recorded) {
    let device = Device::start(
        "[record]\nsegment = \"5s\"\nquality = \"standard\"\n[access]\nmax_sessions = 32\n",
    );
    let recorded = Recorded::wait(device.daemon.address).await;
    (device, recorded)
}

/// Judges an answer by the document: its status, its type, and the form of its JSON.
fn judge(document: &Value, operation: &Operation<'_>, told: (u16, &str, &str), place: &str) {
    let (status, content_type, text) = told;
    let mut answer = &operation.what["responses"][status.to_string()];
    assert!(
        answer.is_object(),
        "{place} is not answered with {status}: {text}"
    );
    if let Some(pointer) = answer["$ref"].as_str() {
        answer = document
            .pointer(pointer.trim_start_matches('#'))
            .expect("a response");
    }
    let essence = content_type.split(';').next().unwrap_or_default();
    let form = members(&answer["content"]).get(essence);
    let form = form.unwrap_or_else(|| panic!("{place} is not {content_type:?}"));
    if essence == "application/json" && operation.method != "HEAD" {
        let json: Value = serde_json::from_str(text).expect(place);
        let checked = check(document, &form["schema"], &json, place);
        assert_eq!(checked, Ok(()), "{text}");
    }
}

fn content_type(head: &str) -> &str {
    let mut lines = head.lines();
    let found = lines.find_map(|line| line.strip_prefix("content-type: "));
    found.unwrap_or_default()
}

#[tokio::test]
async fn a_daemon_answers_as_documented() {
    let document = document();
    let (device, recorded) = device().await;
    let open = device.daemon.address;
    let owner = device.pair(&["owner", "--scope", "all"]);
    for operation in operations(&document) {
        let (method, path) = (&*operation.method, operation.path);
        for (query, _) in queries(&document, &operation, &recorded) {
            let target = format!("{path}?{query}");
            let place = format!("{method} {target}");
            let is_here = operation.is_on("open") || operation.is_on("loopback");
            if (method, path) == ("POST", "/call") {
                let ring = "action=user_define&cmd=wx_call_start";
                assert_eq!(request(open, "POST", "/command", ring).await.status, 200);
            }
            let answer = ask(open, method, &target, body(path)).await;
            // Nobody is there over P2P, and the proxy's own is not here.
            let expected = match is_here && operation.last() != "feedback" {
                true => 200,
                false => 404,
            };
            assert_eq!(answer.status, expected, "{place}: {answer:?}");
            if is_here {
                let told = (answer.status, content_type(&answer.head), &*answer.body);
                judge(&document, &operation, told, &place);
            }
            let asked = (method, target.trim_end_matches('?'), body(path));
            if path == "/command" {
                continue;
            }
            match ask_sealed(device.address, &owner, asked).await {
                Reply::Sealed(head, text) if operation.is_on("token") => {
                    let text = text.unwrap_or_default();
                    let text = String::from_utf8_lossy(&text);
                    assert_eq!(head.status, 200, "{place}: {text}");
                    let content_type = head.header("content-type").unwrap_or_default();
                    let told = (head.status, content_type, &*text);
                    judge(&document, &operation, told, &place);
                }
                Reply::Sealed(head, _) => assert!([404, 405].contains(&head.status), "{place}"),
                Reply::Clear(answer) => {
                    assert_eq!((answer.status, method), (405, "HEAD"), "{place}");
                    assert!(!operation.is_on("token"), "{place}");
                }
                Reply::Closed => panic!("{place} is not answered"),
            }
        }
    }
    for (body, schema, _) in commands(&document) {
        let body = recorded.real(&body);
        let answer = request(open, "POST", "/command", &body).await;
        let sealed = ask_sealed(
            device.address,
            &owner,
            ("POST", "/command", body.as_bytes()),
        );
        let (status, text) = sealed.await.sealed();
        assert_eq!((answer.status, status), (200, 200), "{body}");
        for text in [&answer.body, &text] {
            let json: Value = serde_json::from_str(text).expect(&body);
            assert_eq!(check(&document, schema, &json, &body), Ok(()), "{text}");
        }
    }
}

#[tokio::test]
async fn scopes_are_those_of_the_document() {
    let document = document();
    let (device, recorded) = device().await;
    for scope in Scope::ALL.map(Scope::as_str) {
        let uri = device.pair(&[scope, "--scope", scope]);
        for operation in operations(&document) {
            if !operation.is_on("token") || operation.last() == "command" {
                continue;
            }
            for (query, needed) in queries(&document, &operation, &recorded) {
                let target = format!("{}?{query}", operation.path);
                let target = target.trim_end_matches('?');
                let asked = (&*operation.method, target, body(operation.path));
                let Reply::Sealed(head, _) = ask_sealed(device.address, &uri, asked).await else {
                    panic!("{scope}: {target}");
                };
                let may = needed.is_none_or(|needed| needed == scope);
                let expected = if may { 200 } else { 403 };
                assert_eq!(head.status, expected, "{scope}: {target}");
            }
        }
        let mut viewer = RawViewer::open(device.address, &uri).await;
        for (body, _, needed) in commands(&document) {
            let body = recorded.real(&body);
            let asked = viewer.ask("POST", "/command", Some(body.as_bytes())).await;
            let (_, text) = asked.sealed();
            // What needs `admin` needs `command` beside it.
            let may = needed.is_none_or(|needed| needed == scope && needed != "admin");
            // The array of `get_device_st` tells of another request's scope.
            let is_refused = text.starts_with('{') && text.contains("does not have the scope");
            assert_eq!(is_refused, !may, "{scope}: {body}: {text}");
        }
    }
}

#[tokio::test]
async fn without_a_token_there_is_one_answer() {
    let document = document();
    let device = Device::start("");
    let recorded = Recorded {
        start: 1,
        file: "x".to_owned(),
    };
    for operation in operations(&document) {
        for (query, _) in queries(&document, &operation, &recorded) {
            let (method, target) = (&*operation.method, format!("{}?{query}", operation.path));
            let answer = ask(device.address, method, &target, b"").await;
            let is_health = operation.last() == "healthz" && ["GET", "HEAD"].contains(&method);
            let expected = if is_health { 200 } else { 401 };
            assert_eq!(answer.status, expected, "{method} {target}");
            if is_health && method == "GET" {
                let told = (200, content_type(&answer.head), &*answer.body);
                judge(&document, &operation, told, &target);
            }
        }
    }
}

#[cfg(all(feature = "client", feature = "p2p"))]
#[tokio::test]
async fn over_p2p_there_is_what_the_document_says() {
    use peercam_proto::credential::BodyKind;

    let document = document();
    let device = crate::dialled::device("[record]\nsegment = \"5s\"\nquality = \"standard\"\n");
    let recorded = Recorded::wait(device.daemon.address).await;
    let uri = device.pair(&["owner", "--scope", "all"]);
    let peer = crate::dialled::RawPeer::dial(&uri, 1).await;
    let mut counter = 0;
    for operation in operations(&document) {
        for (query, _) in queries(&document, &operation, &recorded) {
            let (method, path) = (&*operation.method, operation.path);
            if method == "GET" && query.starts_with("action=live") {
                // It has no end; HEAD says that it is there.
                continue;
            }
            let target = format!("{path}?{query}");
            let body = std::str::from_utf8(body(path)).expect("text");
            let kind = match body {
                "" => BodyKind::None,
                _ => BodyKind::Plain,
            };
            counter += 1;
            let signed = (method, target.trim_end_matches('?'));
            let target = peer.signed(&uri, counter, signed, kind);
            let length = body.len();
            let asked = format!(
                "{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            let answer = peer.raw(&asked).await.expect("an answer");
            match operation.is_on("p2p") {
                true => assert_eq!(answer.status, 200, "{method} {path}: {answer:?}"),
                false => assert_eq!(answer.status, 404, "{method} {path}"),
            }
        }
    }
}
