//! Who is behind a proxy? The header that it sends before anything else says so (PROXY protocol,
//! versions 1 and 2), and the configuration says whom to believe.
//!
//! Bytes in, addresses out: no socket, no clock. Imports nothing of the crate.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The most bytes of a header; those of version 1 have a limit of their own. What a proxy says
/// besides addresses (of TLS, of its own network) fits.
pub const HEADER_BYTES_MAX: usize = 4096;

/// The most bytes of a header of version 1, its line's end included.
const LINE_BYTES_MAX: usize = 107;

const LINE_BEGIN: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;

/// What a reading of the input found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// It is not complete.
    Incomplete,
    /// A header of so many bytes, and whom it speaks of.
    Complete(Behind, usize),
}

/// Whom a header speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// A client that connected to the proxy: from where, and where it came in.
    Client(SocketAddr, SocketAddr),
    /// The proxy itself, or somebody of whom it knows no address.
    Proxy,
}

/// Why what came is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It begins like none.
    Absent,
    /// It begins like one; this is wrong with it.
    Malformed(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => out.write_str("it sent no PROXY protocol header"),
            Self::Malformed(what) => write!(out, "its PROXY protocol header is wrong: {what}"),
        }
    }
}

/// Reads the header that `input` begins with.
///
/// # Errors
/// Why it begins with none, as soon as that is certain.
pub fn parse(input: &[u8]) -> Result<Header, Fault> {
    let begins = |with: &[u8]| {
        let common = input.len().min(with.len());
        input[..common] == with[..common]
    };
    if begins(SIGNATURE) {
        parse_binary(input).map_err(Fault::Malformed)
    } else if begins(LINE_BEGIN) {
        parse_line(input).map_err(Fault::Malformed)
    } else {
        Err(Fault::Absent)
    }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.9 56324 5672`
fn parse_line(input: &[u8]) -> Result<Header, &'static str> {
    let start = &input[..input.len().min(LINE_BYTES_MAX)];
    let Some(end) = start.iter().position(|&byte| byte == b'\n') else {
        let is_full = start.len() == LINE_BYTES_MAX;
        return if is_full { Err("its line has over 107 bytes") } else { Ok(Header::Incomplete) };
    };
    let line = start[..end].strip_suffix(b"\r").ok_or("its line does not end in CRLF")?;
    let line = std::str::from_utf8(line).map_err(|_| "its line is no text")?;
    let words: Vec<&str> = line.split(' ').collect();
    let behind = match words[..] {
        // What follows is to be ignored.
        ["PROXY", "UNKNOWN", ..] => Ok(Behind::Proxy),
        ["PROXY", "TCP4", ..] => ends::<Ipv4Addr>(&words[2..]),
        ["PROXY", "TCP6", ..] => ends::<Ipv6Addr>(&words[2..]),
        _ => Err("it is for neither TCP4 nor TCP6"),
    };
    Ok(Header::Complete(behind?, end + 1))
}

/// Both addresses, then both ports.
fn ends<A: FromStr + Into<IpAddr>>(words: &[&str]) -> Result<Behind, &'static str> {
    let [source, destination, source_port, destination_port] = words else {
        return Err("it has not two addresses and two ports");
    };
    let address = |word: &str| word.parse::<A>().map_err(|_| "an address is none of its family");
    let port = |word: &str| {
        let is_plain = word.bytes().all(|byte| byte.is_ascii_digit())
            && (word == "0" || !word.starts_with('0'));
        word.parse::<u16>().ok().filter(|_| is_plain).ok_or("a port is none")
    };
    Ok(Behind::Client(
        SocketAddr::new(address(source)?.into(), port(source_port)?),
        SocketAddr::new(address(destination)?.into(), port(destination_port)?),
    ))
}

/// ```text
/// signature (12)  version and command (1)  family (1)  bytes that follow (2)  addresses, more
/// ```
fn parse_binary(input: &[u8]) -> Result<Header, &'static str> {
    let Some((fixed, _)) = input.split_at_checked(FIXED_BYTES) else {
        return Ok(Header::Incomplete);
    };
    if fixed[12] >> 4 != 2 {
        return Err("its version is none that there is");
    }
    let bytes = FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if bytes > HEADER_BYTES_MAX {
        return Err("it has over 4096 bytes");
    }
    let Some(rest) = input.get(FIXED_BYTES..bytes) else {
        return Ok(Header::Incomplete);
    };
    let behind = match (fixed[12] & 0xf, fixed[13]) {
        // The proxy speaks for itself: it looks whether we are there.
        (0, _) => Behind::Proxy,
        (1, 0x11) => binary_ends::<4>(rest)?,
        (1, 0x21) => binary_ends::<16>(rest)?,
        // Datagrams and Unix sockets: there is no address that means anything here.
        (1, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => Behind::Proxy,
        (1, _) => return Err("its family of addresses is none that there is"),
        (_, _) => return Err("its command is none that there is"),
    };
    Ok(Header::Complete(behind, bytes))
}

/// Both addresses, of `N` bytes each, then both ports; what follows is skipped.
fn binary_ends<const N: usize>(rest: &[u8]) -> Result<Behind, &'static str>
where
    IpAddr: From<[u8; N]>,
{
    const SHORT: &str = "it is too short for its addresses";
    let (source, rest) = rest.split_first_chunk::<N>().ok_or(SHORT)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(SHORT)?;
    let (ports, _) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
    let [a, b, c, d] = *ports;
    Ok(Behind::Client(
        SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes([a, b])),
        SocketAddr::new(IpAddr::from(*destination), u16::from_be_bytes([c, d])),
    ))
}

/// Where proxies are that are believed, and in front of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies {
    /// Whoever speaks AMQP comes through one.
    pub before_amqp: bool,
    /// Whoever comes to the HTTP API's port does.
    pub before_http: bool,
    /// Where they are.
    pub trusted: Vec<Network>,
}

impl Default for Proxies {
    /// There are none; if there were, on this machine alone.
    fn default() -> Self {
        let local = [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let [v4, v6] = local;
        let trusted = vec![Network { address: v4, bits: 8 }, Network { address: v6, bits: 128 }];
        Self { before_amqp: false, before_http: false, trusted }
    }
}

impl Proxies {
    /// Whether what this one says of others is believed.
    pub fn trust(&self, proxy: SocketAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(proxy.ip()))
    }
}

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is one of them; an IPv4 address in the form of IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differs = own.to_bits() ^ other.to_bits();
                differs.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differs = own.to_bits() ^ other.to_bits();
                differs.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = ();

    /// `10.0.0.0/8`, or one address.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| ())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(bits_max);
        if bits > bits_max { Err(()) } else { Ok(Self { address, bits }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(source: &str, destination: &str) -> Behind {
        Behind::Client(source.parse().unwrap(), destination.parse().unwrap())
    }

    /// A header of version 2.
    fn binary(version_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[version_command, family], &length, rest].concat()
    }

    const V4: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 9, 0xdc, 0x04, 0x16, 0x28];

    fn complete(header: &[u8]) -> Behind {
        for end in 0..header.len() {
            assert_eq!(parse(&header[..end]), Ok(Header::Incomplete), "{end} bytes");
        }
        let followed = [header, b"AMQP\0\0\x09\x01"].concat();
        let Ok(Header::Complete(behind, bytes)) = parse(&followed) else {
            panic!("{:?} of {}", parse(&followed), header.escape_ascii());
        };
        assert_eq!(bytes, header.len(), "what follows is not the header's");
        behind
    }

    #[test]
    fn a_line_names_both_ends_wherever_it_is_cut() {
        let of = |text: &str| complete(format!("{text}\r\n").as_bytes());
        let found = of("PROXY TCP4 192.0.2.1 192.0.2.9 56324 5672");
        assert_eq!(found, client("192.0.2.1:56324", "192.0.2.9:5672"));
        let found = of("PROXY TCP6 2001:db8::1 ::ffff:192.0.2.9 0 65535");
        assert_eq!(found, client("[2001:db8::1]:0", "[::ffff:192.0.2.9]:65535"));
        let long = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                    ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535";
        assert!(matches!(of(long), Behind::Client(..)));
        assert_eq!(of("PROXY UNKNOWN"), Behind::Proxy);
        let longest = format!("PROXY UNKNOWN {}", "x".repeat(LINE_BYTES_MAX - 16));
        assert_eq!(of(&longest), Behind::Proxy);
    }

    #[test]
    fn a_line_that_can_be_read_in_two_ways_is_refused() {
        for text in [
            "PROXY TCP4 192.0.2.1 192.0.2.9 56324\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.9 56324 5672 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.9 56324 5672 \r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.9 56324 5672\r\n",
            "PROXY TCP4\t192.0.2.1 192.0.2.9 56324 5672\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.9 56324 5672\n",
            "PROXY TCP4 192.0.2.1 192.0.2.9\n56324 5672\r\n",
            "PROXY TCP4 192.0.2.01 192.0.2.9 56324 5672\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.9 056324 5672\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.9 +6324 5672\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.9 65536 5672\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.9 -1 5672\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.9  5672\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.9 1 2\r\n",
            "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
            "PROXY TCP4 localhost 192.0.2.9 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.9 1 2\r\n",
            "PROXY tcp4 192.0.2.1 192.0.2.9 1 2\r\n",
            "PROXY UNKNOWNx\r\n",
            "PROXY \r\n",
            "PROXY \u{fc}\r\n",
        ] {
            let found = parse(text.as_bytes());
            assert!(matches!(found, Err(Fault::Malformed(_))), "{found:?}: {text:?}");
        }
        let long = format!("PROXY UNKNOWN {}", "x".repeat(LINE_BYTES_MAX));
        assert_eq!(parse(&long.as_bytes()[..106]), Ok(Header::Incomplete));
        assert!(matches!(parse(&long.as_bytes()[..107]), Err(Fault::Malformed(_))));
        let late = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE_BYTES_MAX - 15));
        assert!(matches!(parse(late.as_bytes()), Err(Fault::Malformed(_))), "108 bytes");
    }

    #[test]
    fn a_binary_header_names_both_ends_wherever_it_is_cut() {
        let expected = client("192.0.2.1:56324", "192.0.2.9:5672");
        assert_eq!(complete(&binary(0x21, 0x11, V4)), expected);
        let mut v6 = [[0; 32].as_slice(), &[0x1f, 0x90, 0x00, 0x50]].concat();
        (v6[15], v6[31]) = (1, 2);
        assert_eq!(complete(&binary(0x21, 0x21, &v6)), client("[::1]:8080", "[::2]:80"));
        // What it says besides is passed over, also where it is nonsense.
        let more = [V4, &[0x04, 0xff, 0xff, 1]].concat();
        assert_eq!(complete(&binary(0x21, 0x11, &more)), expected);
        let most = [V4, &vec![7; HEADER_BYTES_MAX - 16 - V4.len()]].concat();
        assert_eq!(complete(&binary(0x21, 0x11, &most)), expected);
    }

    #[test]
    fn who_has_no_address_that_means_anything_here_is_where_the_proxy_is() {
        for (version_command, family, rest) in [
            (0x20, 0x00, &[][..]),
            (0x20, 0x11, V4),
            (0x20, 0xff, &[1, 2, 3]),
            (0x21, 0x00, &[]),
            (0x21, 0x00, V4),
            (0x21, 0x12, V4),
            (0x21, 0x22, &[0; 36]),
            (0x21, 0x31, &[0; 216]),
            (0x21, 0x32, &[0; 216]),
        ] {
            assert_eq!(complete(&binary(version_command, family, rest)), Behind::Proxy);
        }
    }

    #[test]
    fn a_binary_header_that_is_none_is_refused() {
        for (version_command, family, rest) in [
            (0x11, 0x11, V4),
            (0x31, 0x11, V4),
            (0x01, 0x11, V4),
            (0x22, 0x11, V4),
            (0x2f, 0x11, V4),
            (0x21, 0x10, V4),
            (0x21, 0x13, V4),
            (0x21, 0x41, V4),
            (0x21, 0x11, &V4[..11]),
            (0x21, 0x11, &[]),
            (0x21, 0x21, &[0; 35]),
            (0x21, 0x11, &[0; HEADER_BYTES_MAX - 15]),
        ] {
            let found = parse(&binary(version_command, family, rest));
            assert!(matches!(found, Err(Fault::Malformed(_))), "{version_command:x} {family:x}");
        }
        // One that is too long is not waited for.
        let long = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
        assert!(matches!(parse(&long), Err(Fault::Malformed(_))));
    }

    #[test]
    fn whatever_else_comes_first_is_no_header() {
        assert_eq!(parse(b""), Ok(Header::Incomplete));
        for text in [&b"AMQP\0\0\x09\x01"[..], b"A", b"GET / HTTP/1.1", b"\x16\x03\x01", b"PROXY\t"]
        {
            assert_eq!(parse(text), Err(Fault::Absent), "{}", text.escape_ascii());
        }
        for at in 0..SIGNATURE.len() {
            let mut other = SIGNATURE.to_vec();
            other[at] ^= 1;
            assert_eq!(parse(&other), Err(Fault::Absent), "{at}");
        }
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_alike() {
        let has = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(has("10.0.0.0/8", "10.255.0.1") && !has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("10.1.2.3/8", "10.9.9.9"), "what stands behind the bits counts for nothing");
        assert!(has("10.0.0.1", "::ffff:10.0.0.1") && !has("10.0.0.1", "10.0.0.2"));
        assert!(has("192.0.2.128/25", "192.0.2.129") && !has("192.0.2.128/25", "192.0.2.127"));
        assert!(has("0.0.0.0/0", "203.0.113.1") && !has("0.0.0.0/0", "::1"));
        assert!(has("::/0", "2001:db8::1") && !has("::/0", "192.0.2.1"));
        assert!(
            has("2001:db8::/33", "2001:db8:7fff::") && !has("2001:db8::/33", "2001:db8:8000::")
        );
        for wrong in ["", "/8", "10.0.0.0/33", "::1/129", "10.0.0.0/-1", "10.0.0.0/", "10/8", "a"] {
            assert_eq!(wrong.parse::<Network>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn unless_others_are_named_only_a_proxy_on_this_machine_is_believed() {
        let trusts = |address: &str| Proxies::default().trust(address.parse().unwrap());
        assert!(trusts("127.0.0.1:1") && trusts("[::1]:1") && trusts("[::ffff:127.0.0.1]:1"));
        assert!(!trusts("10.0.0.1:1") && !trusts("[::2]:1") && !trusts("192.168.0.1:1"));
    }
}
