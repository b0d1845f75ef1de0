//! `source = { kind = "sim", … }`

use peercam_hal::sim::{AudioKind, BITRATES, Config, Fault, Faults};

use crate::document::{Table, Value};

/// Sound of the microphone. Without one there may be silence or nothing.
const AUDIO: [(&str, AudioKind); 5] = [
    ("aac", AudioKind::Aac),
    ("pcma", AudioKind::Pcma),
    ("pcmu", AudioKind::Pcmu),
    ("silence", AudioKind::None),
    ("none", AudioKind::None),
];

pub(super) fn read(table: &mut Table<'_>) -> Config {
    let default = Config::default();
    let audio = table.peek("audio").word(&AUDIO);
    let gop = table.get("gop").number(1..=1000);
    let bitrate = bitrates(table.get("bitrate"));
    let force_key = table.get("force_key").flag();
    let every_picture = table.get("every_picture").flag();
    let faults = table.get("faults").list().into_iter().flatten();
    let faults = faults.filter_map(|value| {
        let fault = value.string()?.parse::<Fault>();
        value.accept(fault.map_err(|error| format!("faults: {error}")))
    });
    let faults = faults.collect();
    let seed = table.get("seed").number(0..=u64::MAX);
    Config {
        audio: audio.unwrap_or(default.audio),
        gop: gop.unwrap_or(default.gop),
        bitrate: bitrate.unwrap_or(default.bitrate),
        force_key: force_key.unwrap_or(default.force_key),
        every_picture: every_picture.unwrap_or(default.every_picture),
        faults: Faults::new(seed.unwrap_or(0), faults),
    }
}

fn bitrates(value: Value<'_>) -> Option<[u32; 3]> {
    let (least, most) = (u64::from(*BITRATES.start()), u64::from(*BITRATES.end()));
    let rates = value.list()?.map(|value| value.number(least..=most));
    let rates: Option<[_; 3]> = rates.collect::<Vec<_>>().try_into().ok();
    let [standard, high, best] = value.accept(rates.ok_or("three numbers from 50000 to 50000000 are needed: bits per second of standard, high and super"))?;
    Some([standard?, high?, best?])
}
