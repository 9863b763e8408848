//! Japanese text whose encoding is said wrongly or not at all.

use std::hash::{DefaultHasher, Hash, Hasher};

use encoding_rs::{EUC_JP, Encoding, ISO_2022_JP, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE};

/// In the order in which they are tried. What mailers and consoles of Windows call Shift_JIS is CP932, and so is this one.
const TRIED: [&Encoding; 6] = [UTF_8, ISO_2022_JP, SHIFT_JIS, EUC_JP, UTF_16LE, UTF_16BE];

/// By its mark of byte order; else in the first encoding, the `declared` one before all others, in which it can be read whole and holds one
/// of `words`; else in the one in which it holds most of them.
pub(super) fn decoded(bytes: &[u8], declared: Option<&'static Encoding>, words: &[&str]) -> String {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned();
    }
    let (mut best, mut most) = (String::new(), None);
    for encoding in declared.into_iter().chain(TRIED) {
        let (text, is_damaged) = encoding.decode_without_bom_handling(bytes);
        let found = words.iter().filter(|word| text.contains(**word)).count();
        if found > 0 && !is_damaged {
            return text.into_owned();
        }
        if most.is_none_or(|most| found > most) {
            (best, most) = (text.into_owned(), Some(found));
        }
    }
    best
}

/// Two line ends of one byte each, or of the other order of bytes, as UTF-16 has them.
const MISREAD_ENDS: [char; 3] = ['\u{0a0d}', '\u{0d0a}', '\u{0a00}'];

/// Rows that are written in another encoding than the others, as where a program appends to what another has written, or no text: in the
/// encoding of the whole their names are other names, and their words none.
pub(super) fn is_garbled(bytes: &[u8], text: &str) -> bool {
    let is_none = |c: char| c == '\u{fffd}' || c.is_control() && !"\t\r\n".contains(c) || MISREAD_ENDS.contains(&c);
    text.chars().any(is_none) || is_mixed(bytes)
}

/// Whether rows of UTF-8 stand among others.
pub(super) fn is_mixed(bytes: &[u8]) -> bool {
    // Half a row of UTF-8 is no character of CP932, or a rare one; a whole one with Japanese in it is no accident.
    let is_japanese = |line: &[u8]| std::str::from_utf8(line).is_ok_and(|line| line.chars().any(|c| c >= '\u{3000}'));
    !is_utf_16(bytes) && std::str::from_utf8(bytes).is_err() && bytes.split(|byte| *byte == b'\n').any(is_japanese)
}

/// Whether bytes of this text are of no encoding that it could be in: what stands for them in the text is none of it.
pub(super) fn is_damaged(bytes: &[u8], text: &str) -> bool {
    // The last is ISO-2022-JP that was taken for ASCII.
    let is_other = text.contains('\0') || text.contains(MISREAD_ENDS) || text.contains("\u{1b}$");
    is_other || text.contains('\u{fffd}') && std::str::from_utf8(bytes).is_err()
}

/// Whether no encoding has all of these bytes.
pub(super) fn is_of_no_encoding(bytes: &[u8]) -> bool {
    TRIED.into_iter().all(|encoding| encoding.decode_without_bom_handling(bytes).1)
}

pub(super) fn is_utf_16(bytes: &[u8]) -> bool {
    bytes.contains(&0) || bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")
}

/// Half-width kana from U+FF61 on, in their usual width.
const KANA: &str = "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン゛゜";
const HALF_WIDTH: char = '\u{ff61}';
const VOICED: char = '\u{ff9e}';
const HALF_VOICED: char = '\u{ff9f}';

/// The same with every full-width letter, figure and mark and every half-width kana in its usual width, and other spaces as spaces.
pub(super) fn narrowed(text: &str) -> String {
    let mut narrow = String::with_capacity(text.len());
    for c in text.chars() {
        let usual = match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
            '\u{3000}' | '\u{a0}' => ' ',
            '\u{feff}' => '\u{200b}',
            // A half-width kana and its mark are one in the usual width.
            VOICED | HALF_VOICED if let Some(both) = narrow.chars().last().and_then(|before| voiced(before, c)) => {
                narrow.pop();
                both
            }
            HALF_WIDTH..=HALF_VOICED => {
                let at = usize::try_from(u32::from(c) - u32::from(HALF_WIDTH)).unwrap_or_default();
                KANA.chars().nth(at).unwrap_or(c)
            }
            other => other,
        };
        narrow.push(usual);
    }
    narrow
}

/// In Unicode a kana with its mark stands right behind the one without.
fn voiced(kana: char, mark: char) -> Option<char> {
    let behind = |by: u32| char::from_u32(u32::from(kana) + by);
    match (kana, mark) {
        ('ウ', VOICED) => Some('ヴ'),
        ('ハ' | 'ヒ' | 'フ' | 'ヘ' | 'ホ', HALF_VOICED) => behind(2),
        (_, VOICED) if "カキクケコサシスセソタチツテトハヒフヘホ".contains(kana) => behind(1),
        _ => None,
    }
}

/// By which two texts are told apart.
pub(super) fn digest(of: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
pub(super) mod testing {
    use encoding_rs::SHIFT_JIS;

    /// A text in each encoding that consoles of Windows export, with its name.
    pub(in crate::sources) fn encoded(text: &str) -> [(&'static str, Vec<u8>); 6] {
        let marked = |mark: &[u8], bytes: Vec<u8>| [mark, &bytes].concat();
        let utf_16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        [
            ("UTF-8", text.as_bytes().to_vec()),
            ("UTF-8 with a mark", marked(b"\xef\xbb\xbf", text.as_bytes().to_vec())),
            ("UTF-16", utf_16(u16::to_le_bytes)),
            ("UTF-16 with a mark", marked(b"\xff\xfe", utf_16(u16::to_le_bytes))),
            ("big-endian UTF-16 with a mark", marked(b"\xfe\xff", utf_16(u16::to_be_bytes))),
            ("CP932", SHIFT_JIS.encode(text).0.into_owned()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_same_in_any_width() {
        for (written, usual) in [
            ("ＰＣ－０１　ａ", "PC-01 a"),
            ("ｻｰﾊﾞ認証に失敗", "サーバ認証に失敗"),
            ("ｺﾝﾋﾟｭｰﾀｰ名｡", "コンピューター名。"),
            ("ｳﾞｧｲﾛﾝ ﾞ ｱﾞ", "ヴァイロン ゛ ア゛"),
            ("ﾎﾟｯﾄ･ｶﾞﾝﾀﾞﾑ｢ﾄﾞﾂﾞﾌﾞﾜﾝ｣", "ポット・ガンダム「ドヅブワン」"),
        ] {
            assert_eq!(narrowed(written), usual, "{written}");
        }
    }

    const WORDS: [&str; 2] = ["ログ種別", "認証失敗"];

    fn read(bytes: &[u8], declared: Option<&'static Encoding>) -> String {
        decoded(bytes, declared, &WORDS)
    }

    /// The Encoding Standard writes no UTF-16 and knows ISO-2022-JP as all others.
    fn written(text: &str, encoding: &'static Encoding) -> Vec<u8> {
        match encoding {
            it if it == UTF_16LE => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            it if it == UTF_16BE => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            other => other.encode(text).0.into_owned(),
        }
    }

    #[test]
    fn a_text_is_read_in_its_own_encoding_whatever_is_declared() {
        let text = "ログ種別:認証失敗\r\nコンピューター名:①㈱\n";
        for own in TRIED {
            let text =
                if own == ISO_2022_JP || own == EUC_JP { text.replace("①㈱", "高") } else { text.to_owned() };
            let bytes = written(&text, own);
            for declared in
                [None, Some(UTF_8), Some(SHIFT_JIS), Some(EUC_JP), Some(ISO_2022_JP), Encoding::for_label(b"us-ascii")]
            {
                assert_eq!(read(&bytes, declared), text, "{} declared as {declared:?}", own.name());
            }
        }
    }

    #[test]
    fn a_mark_of_byte_order_decides() {
        let marked = [b"\xef\xbb\xbf", "認証失敗".as_bytes()].concat();
        assert_eq!(read(&marked, Some(SHIFT_JIS)), "認証失敗");
    }

    #[test]
    fn a_damaged_text_is_read_as_far_as_its_words_tell_how() {
        let bytes = [&SHIFT_JIS.encode("ログ種別:認証失敗").0[..], b"\x81\xff\xfe"].concat();
        assert!(read(&bytes, None).starts_with("ログ種別:認証失敗"));
        assert_eq!(read(b"nothing of interest", None), "nothing of interest");
    }

    #[test]
    fn a_full_width_letter_is_as_good_as_a_usual_one() {
        assert_eq!(narrowed("［ＩＰアドレス：１９２．０．２．１］　ー～"), "[IPアドレス:192.0.2.1] ー~");
    }
}
