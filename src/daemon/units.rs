//! How are sizes, ratios and limits written in the configuration file, and what do they mean.

/// A limit that is given in bytes or as a part of something measured at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many bytes.
    Absolute(u64),
    /// This part of the total.
    Relative(Ratio),
    /// What is usual for memory: 0.4 of it as in RabbitMQ, and where there is little, 0.6 of it, up
    /// to 32 MiB. What else the broker takes there does not grow with it: its code and the kernel's
    /// part of connections.
    UsualMemory,
}

const USUAL: Ratio = Ratio::from_millionths(400_000);
const USUAL_OF_LITTLE: Ratio = Ratio::from_millionths(600_000);
const USUAL_BYTES_MIN: u64 = 32 << 20;

impl Limit {
    /// The limit in bytes where the whole is `total_bytes`.
    pub fn bytes(self, total_bytes: u64) -> u64 {
        match self {
            Limit::Absolute(bytes) => bytes,
            Limit::Relative(ratio) => ratio.of(total_bytes),
            Limit::UsualMemory => {
                let of_little = USUAL_OF_LITTLE.of(total_bytes).min(USUAL_BYTES_MIN);
                USUAL.of(total_bytes).max(of_little)
            }
        }
    }
}

/// A ratio with six decimal places, so that it compares exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio {
    millionths: u32,
}

impl Ratio {
    /// 1.0
    pub const ONE: Ratio = Ratio::from_millionths(MILLION);

    /// `millionths` / 1,000,000.
    pub const fn from_millionths(millionths: u32) -> Ratio {
        Ratio { millionths }
    }

    /// This part of `total`, rounded down, at most `u64::MAX`.
    pub fn of(self, total: u64) -> u64 {
        let part = u128::from(total) * u128::from(self.millionths) / u128::from(MILLION);
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    /// Reads `0.4`, `1` or `.25`; `None` for anything else, also below zero and for more than
    /// six decimal places.
    pub fn parse(text: &str) -> Option<Ratio> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
            return None;
        }
        if fraction.len() > DECIMALS {
            return None;
        }
        let whole: u32 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let fraction: u32 = format!("{fraction:0<DECIMALS$}").parse().ok()?;
        let millionths = whole.checked_mul(MILLION)?.checked_add(fraction)?;
        Some(Ratio { millionths })
    }
}

/// Reads a size in bytes as RabbitMQ does: `k`, `m`, `g`, `t` and `kib`, `mib`, ... are powers
/// of 1024, `kb`, `mb`, ... powers of 1000; the case of letters does not matter. `None` for
/// anything else and for what is beyond 64 bits.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let factor: u64 = match unit.as_str() {
        "" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

const MILLION: u32 = 1_000_000;
const DECIMALS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usually_memory_is_used_to_two_fifths_and_where_there_is_little_to_three() {
        const MIB: u64 = 1 << 20;
        for (total, expected) in [(10, 6), (20, 12), (64, 32), (70, 32), (80, 32), (1000, 400)] {
            assert_eq!(Limit::UsualMemory.bytes(total * MIB), expected * MIB, "{total} MiB");
        }
    }

    #[test]
    fn sizes_mean_what_they_mean_in_rabbitmq() {
        for (text, bytes) in [
            ("0", 0),
            ("131072", 131_072),
            ("1k", 1_024),
            ("1K", 1_024),
            ("1kiB", 1_024),
            ("1kB", 1_000),
            ("1KB", 1_000),
            ("2M", 2 << 20),
            ("2MiB", 2 << 20),
            ("50MB", 50_000_000),
            ("1GB", 1_000_000_000),
            ("1GiB", 1 << 30),
            ("1g", 1 << 30),
            ("3TiB", 3 << 40),
            ("512 MiB", 512 << 20),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in [
            "",
            "MB",
            "-1",
            "1.5GB",
            "1XB",
            "1 0",
            "0x10",
            "+1",
            "1B",
            "99999999999999999999",
            "20000000TiB",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn ratios_are_read_exactly() {
        for (text, millionths) in [
            ("0.4", 400_000),
            ("1", 1_000_000),
            ("1.0", 1_000_000),
            (".25", 250_000),
            ("0", 0),
            ("0.000001", 1),
            ("2.5", 2_500_000),
        ] {
            let ratio = Ratio::parse(text).expect(text);
            assert_eq!(ratio, Ratio::from_millionths(millionths), "{text}");
        }
        for text in ["", ".", "-0.4", "0,4", "40%", "0.0000001", "1e3", "5000"] {
            assert_eq!(Ratio::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_limit_is_bytes_or_a_part_of_the_whole() {
        assert_eq!(Limit::Absolute(7).bytes(1000), 7);
        assert_eq!(Limit::Relative(Ratio::from_millionths(400_000)).bytes(1000), 400);
        assert_eq!(Limit::Relative(Ratio::from_millionths(1)).bytes(999_999), 0);
        assert_eq!(
            Limit::Relative(Ratio::from_millionths(4_000_000_000)).bytes(u64::MAX),
            u64::MAX
        );
    }
}
