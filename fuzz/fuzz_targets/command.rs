//! Commands by query and by body: none panics, and every answer to a topic is JSON that names it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peercam_proto::command::{
    Command, Meaning, StandardCommand, PanelReply, CustomCommand, decode_request, encode_topic,
};

fuzz_target!(|text: &str| {
    let (query, body) = text.split_once('\n').unwrap_or((text, ""));
    let Ok((command, _)) = decode_request(query, body) else {
        return;
    };
    let Command::Custom { command, .. } = command else {
        return;
    };
    let _ = command.name();
    // What goes on is read as the same by whoever reads it.
    let again = CustomCommand::parse(&command.text);
    assert_eq!(again.text, command.text);
    if let Meaning::Panel(topic) = &command.meaning {
        let _ = StandardCommand::parse(topic);
        let answer = encode_topic(topic, Ok(&PanelReply::Done));
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["confirmation_topic"], topic.name.as_str());
    }
});
