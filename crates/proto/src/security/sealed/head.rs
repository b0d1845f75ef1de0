use std::fmt::Write;

/// The longest head, in bytes.
const MAX_HEAD: usize = 1 << 10;

/// Status and headers of an answer, sealed: the ones outside are only hints.
///
/// `status\nname: value\nname: value\n`, at most 1 KiB, names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The value of the first header with this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(known, _)| known == name)?;
        Some(value)
    }

    /// The text of the head. Headers that would make it longer than [`MAX_HEAD`] are left out.
    pub(super) fn encode(&self) -> String {
        let mut text = format!("{}\n", self.status);
        for (name, value) in &self.headers {
            let fits = text.len() + name.len() + value.len() + 3 <= MAX_HEAD;
            if fits && !value.contains('\n') {
                writeln!(text, "{name}: {value}").expect("strings take everything");
            }
        }
        text
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes)
            .ok()
            .filter(|text| text.len() <= MAX_HEAD)?;
        let (status, rest) = text.split_once('\n')?;
        let status = status
            .parse()
            .ok()
            .filter(|status| (100..600).contains(status) && text.as_bytes()[3] == b'\n')?;
        let headers = rest.split_inclusive('\n').map(|line| {
            let (name, value) = line.strip_suffix('\n')?.split_once(": ")?;
            Some((name.to_owned(), value.to_owned()))
        });
        Some(Self {
            status,
            headers: headers.collect::<Option<_>>()?,
        })
    }
}
