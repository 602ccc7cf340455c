//! What a file is, by its bytes.

/// How much of the beginning is looked at.
const HEAD: usize = 8 * 1024;

/// Watches the bytes of a file as they come.
#[derive(Debug, Default)]
pub(super) struct Sniffer {
    head: Vec<u8>,
    text: Text,
}

impl Sniffer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = HEAD - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.text.push(bytes);
    }

    /// The type of what has come: by its first bytes, `text/plain` for other text in UTF-8, and
    /// `application/octet-stream` for what nobody knows.
    pub(super) fn media_type(&self) -> &'static str {
        let known = infer::get(&self.head);
        if self.text.is_whole() {
            // Text that begins with the letters of a binary format, such as `BM`, is still text.
            let written = known.filter(|kind| {
                kind.matcher_type() == infer::MatcherType::Text
                    || matches!(kind.mime_type(), "application/pdf" | "application/rtf" | "application/postscript")
            });
            return written.map_or("text/plain", |kind| kind.mime_type());
        }
        known.map_or("application/octet-stream", |kind| kind.mime_type())
    }
}

/// Whether everything so far is text in UTF-8.
#[derive(Debug, Default)]
struct Text {
    is_broken: bool,
    /// The first bytes of a character whose other bytes have not come yet; at most three.
    begun: Vec<u8>,
}

impl Text {
    fn push(&mut self, bytes: &[u8]) {
        if self.is_broken {
            return;
        }
        if self.begun.is_empty() {
            self.read(bytes);
        } else {
            let mut joined = std::mem::take(&mut self.begun);
            joined.extend_from_slice(bytes);
            self.read(&joined);
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let whole = match std::str::from_utf8(bytes) {
            Ok(_) => bytes.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => {
                self.is_broken = true;
                return;
            }
        };
        self.is_broken = bytes[..whole].iter().any(|byte| is_binary(*byte));
        self.begun = bytes[whole..].to_vec();
    }

    fn is_whole(&self) -> bool {
        !self.is_broken && self.begun.is_empty()
    }
}

/// Control characters that stand in no text. Colours of a terminal's log do.
fn is_binary(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sniff(bytes: &[u8]) -> &'static str {
        let mut sniffer = Sniffer::default();
        sniffer.push(bytes);
        sniffer.media_type()
    }

    #[test]
    fn the_content_says_what_it_is() {
        let cases: &[(&[u8], &str)] = &[
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
            (b"GIF89a\x01\0\x01\0", "image/gif"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
            (b"%PDF-1.7\nplain", "application/pdf"),
            (b"PK\x03\x04\x14\0\0\0", "application/zip"),
            (b"<html ><script>", "text/html"),
            (b"\x1f\x8b\x08\0\0\0\0\0", "application/gzip"),
            (b"BMW is no picture", "text/plain"),
            ("Größe\t1\n".as_bytes(), "text/plain"),
            (b"\x1b[31mred\x1b[0m", "text/plain"),
            (b"{\"a\":1}", "text/plain"),
            (b"<svg onload=alert(1)>", "text/plain"),
            (b"a\0b", "application/octet-stream"),
            (b"\xc3", "application/octet-stream"),
            (b"latin \xe4", "application/octet-stream"),
        ];
        for (bytes, kind) in cases {
            assert_eq!(sniff(bytes), *kind, "{}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_in_which_pieces_it_comes(
            text in "[a-zä€😀\n\u{1}]{0,40}", broken in any::<bool>(), size in 1usize..7,
        ) {
            let mut bytes = text.into_bytes();
            if broken {
                bytes.pop();
            }
            let mut sniffer = Sniffer::default();
            bytes.chunks(size).for_each(|piece| sniffer.push(piece));
            prop_assert_eq!(sniffer.media_type(), sniff(&bytes));
        }
    }
}
