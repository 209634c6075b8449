//! Where in a form that a page sends is the file?

/// What goes between the parts of a form, by its content type; `None`: it is no form.
pub fn boundary(content_type: &[u8]) -> Option<&[u8]> {
    let mut parts = content_type.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    if !parts.next()?.eq_ignore_ascii_case(b"multipart/form-data") {
        return None;
    }
    const KEY: &[u8] = b"boundary=";
    let named = |part: &[u8]| part.len() > KEY.len() && part[..KEY.len()].eq_ignore_ascii_case(KEY);
    let value = &parts.find(|part| named(part))?[KEY.len()..];
    Some(value.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\"")).unwrap_or(value))
}

/// At which byte of the form its file begins: the part with this name, or the first one that has a
/// file's name.
pub fn file_in(form: &[u8], boundary: &[u8]) -> Option<usize> {
    let delimiter = [b"--", boundary].concat();
    let mut at = 0;
    for _ in 0..PARTS_MAX {
        let found = position(&form[at..], &delimiter)?;
        let head = at + found + delimiter.len();
        let bytes = position(form[head..].get(..HEAD_BYTES_MAX).unwrap_or(&form[head..]), BLANK)?;
        let lines = String::from_utf8_lossy(&form[head..head + bytes]).to_ascii_lowercase();
        at = head + bytes + BLANK.len();
        if lines.contains("name=\"file\"") || lines.contains("filename=") {
            return Some(at);
        }
    }
    None
}

const BLANK: &[u8] = b"\r\n\r\n";

/// A form is looked through no further than so many parts, whose heads have so many bytes.
const PARTS_MAX: usize = 16;
const HEAD_BYTES_MAX: usize = 4096;

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_stands_in_the_content_type() {
        let of = |text: &'static str| boundary(text.as_bytes());
        assert_eq!(of("multipart/form-data; boundary=abc"), Some(&b"abc"[..]));
        assert_eq!(of("Multipart/Form-Data; x=y; Boundary=\"a b\""), Some(&b"a b"[..]));
        assert_eq!(of("application/json"), None);
        assert_eq!(of("multipart/form-data"), None);
    }

    #[test]
    fn the_file_is_found_behind_other_parts() {
        let form = b"--x\r\nContent-Disposition: form-data; name=\"auth\"\r\n\r\nabc\r\n--x\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"d.json\"\r\n\
            Content-Type: application/json\r\n\r\n{\"a\": 1}\r\n--x--\r\n";
        let at = file_in(form, b"x").unwrap();
        assert!(form[at..].starts_with(b"{\"a\""));
        assert_eq!(file_in(form, b"y"), None);
        assert_eq!(file_in(&form[..40], b"x"), None);
    }
}
