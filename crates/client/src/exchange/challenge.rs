use peercam_proto::encoding::exactly;

/// The device's share of a stream's proofs and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// Bytes that make the stream one of a kind.
    pub(super) binding: [u8; 32],
    /// The device's ephemeral X25519 key.
    pub(super) device_key: [u8; 32],
}

impl Challenge {
    /// Reads `Peercam v="1", b="…", d="…"`; parameters that later versions may add are ignored.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parameters = text.strip_prefix("Peercam ")?;
        let value = |name: &str| {
            let mut values = parameters.split(',').filter_map(|parameter| {
                let (found, value) = parameter.trim().split_once('=')?;
                let value = value.strip_prefix('"')?.strip_suffix('"')?;
                (found == name).then_some(value)
            });
            let value = values.next();
            value.filter(|_| values.next().is_none())
        };
        let key = |name: &str| exactly(value(name)?);
        (value("v")? == "1").then_some(Self {
            binding: key("b")?,
            device_key: key("d")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_strictly() {
        let key = "REREREREREREREREREREREREREREREREREREREREREQ";
        let good = format!("Peercam v=\"1\", b=\"{key}\", d=\"{key}\"");
        let expected = Challenge {
            binding: [0x44; 32],
            device_key: [0x44; 32],
        };
        assert_eq!(Challenge::parse(&good), Some(expected));
        assert_eq!(
            Challenge::parse(&format!("{good}, x=\"y\"")),
            Some(expected)
        );
        for bad in [
            String::new(),
            good.replace("Peercam", "Basic"),
            good.replace("v=\"1\"", "v=\"2\""),
            good.replace("b=", "c="),
            good.replace('"', ""),
            format!("{good}, d=\"{key}\""),
            good.replace(key, "REQ"),
        ] {
            assert_eq!(Challenge::parse(&bad), None, "{bad}");
        }
    }
}
