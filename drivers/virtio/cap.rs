// SPDX-License-Identifier: GPL-2.0

//! The pure part of finding a shared-memory region: parsing the PCI capability, placing it in its BAR, and the checks
//! that every window must pass, whatever transport it came by.
//!
//! Values in, values out, `core` only: the host tests build this very file. All input is the device's and not trusted.

use core::fmt;

/// What a window is made of: mappings of this size, which is also the alignment that the pages of a window need.
pub(crate) const RANGE_SIZE: u64 = 2 << 20;

/// How many BARs a PCI function has.
const BARS: u8 = 6;

/// `cfg_type` of a shared-memory capability.
const TYPE_SHARED_MEMORY: u8 = 8;

/// The bytes of a `struct virtio_pci_cap64`.
pub(crate) const CAP_LEN: usize = 24;

/// A shared-memory capability: where in which BAR the region lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShmCap {
    /// The region's id.
    pub(crate) id: u8,
    /// The BAR that contains it.
    pub(crate) bar: u8,
    /// Its first byte in the BAR.
    pub(crate) offset: u64,
    /// Its length in bytes.
    pub(crate) len: u64,
}

/// A region of physical memory as found, not yet checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The address of its first byte.
    pub(crate) addr: u64,
    /// Its length in bytes.
    pub(crate) len: u64,
}

/// Why a region cannot be used as a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The capability does not have the length that its type has.
    CapLength(u8),
    /// The capability names a BAR that does not exist.
    ReservedBar(u8),
    /// The BAR is not there or not memory.
    NoBar(u8),
    /// Offset and length overflow.
    CapOverflow { offset: u64, len: u64 },
    /// The region ends after its BAR.
    PastBar { bar: u8, end: u64, bar_len: u64 },
    /// The transport and we found different regions.
    Disagree {
        ours: Option<Found>,
        transport: Option<Found>,
    },
    /// The region has no bytes.
    Empty,
    /// The region is smaller than one mapping.
    TooSmall(u64),
    /// The length is not a multiple of a mapping.
    OddSize(u64),
    /// The address is not aligned to a mapping.
    Misaligned(u64),
    /// Address and length overflow.
    Overflow { addr: u64, len: u64 },
    /// The region ends after the highest address that can be mapped.
    Unmappable { end: u64, limit: u64 },
}

/// Writes `None` as "no region".
struct MaybeFound(Option<Found>);

impl fmt::Display for MaybeFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(r) => write!(f, "{:#x} bytes at {:#x}", r.len, r.addr),
            None => f.write_str("no region"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CapLength(n) => {
                write!(f, "its PCI capability has {n} bytes instead of {CAP_LEN}")
            }
            Self::ReservedBar(bar) => write!(f, "its PCI capability names the reserved BAR {bar}"),
            Self::NoBar(bar) => write!(f, "BAR {bar} is not memory"),
            Self::CapOverflow { offset, len } => {
                write!(f, "offset {offset:#x} and length {len:#x} overflow")
            }
            Self::PastBar { bar, end, bar_len } => write!(
                f,
                "it ends at {end:#x}, after the end of BAR {bar} at {bar_len:#x}"
            ),
            Self::Disagree { ours, transport } => write!(
                f,
                "the device describes {}, the transport {}",
                MaybeFound(ours),
                MaybeFound(transport)
            ),
            Self::Empty => f.write_str("its length is 0"),
            Self::TooSmall(len) => write!(
                f,
                "{len:#x} bytes are less than one mapping of {RANGE_SIZE:#x}"
            ),
            Self::OddSize(len) => write!(
                f,
                "its length {len:#x} is not a multiple of {RANGE_SIZE:#x}"
            ),
            Self::Misaligned(addr) => {
                write!(f, "its address {addr:#x} is not aligned to {RANGE_SIZE:#x}")
            }
            Self::Overflow { addr, len } => {
                write!(f, "address {addr:#x} and length {len:#x} overflow")
            }
            Self::Unmappable { end, limit } => write!(
                f,
                "it ends at {end:#x}, after the last mappable address {limit:#x}"
            ),
        }
    }
}

/// The 32-bit little-endian value at `at`.
fn le32(cap: &[u8; CAP_LEN], at: usize) -> u64 {
    let bytes = [cap[at], cap[at + 1], cap[at + 2], cap[at + 3]];
    u64::from(u32::from_le_bytes(bytes))
}

/// Reads the bytes of a vendor capability as the shared-memory region `id`. `None` when it is something else.
///
/// # Errors
///
/// It is the region that was asked for, but malformed.
pub(crate) fn parse_shm_cap(cap: &[u8; CAP_LEN], id: u8) -> Result<Option<ShmCap>, Refusal> {
    let (cap_len, cfg_type, bar, cap_id) = (cap[2], cap[3], cap[4], cap[5]);
    if cfg_type != TYPE_SHARED_MEMORY || cap_id != id {
        return Ok(None);
    }
    if usize::from(cap_len) != CAP_LEN {
        return Err(Refusal::CapLength(cap_len));
    }
    if bar >= BARS {
        return Err(Refusal::ReservedBar(bar));
    }
    Ok(Some(ShmCap {
        id,
        bar,
        offset: le32(cap, 8) | le32(cap, 16) << 32,
        len: le32(cap, 12) | le32(cap, 20) << 32,
    }))
}

/// Places the region of a capability in its BAR, given as address and length.
///
/// # Errors
///
/// The region does not lie in the BAR.
pub(crate) fn place(cap: &ShmCap, bar: Option<(u64, u64)>) -> Result<Found, Refusal> {
    let (bar_addr, bar_len) = bar.ok_or(Refusal::NoBar(cap.bar))?;
    let overflow = Refusal::CapOverflow {
        offset: cap.offset,
        len: cap.len,
    };
    let end = cap.offset.checked_add(cap.len).ok_or(overflow)?;
    if end > bar_len {
        return Err(Refusal::PastBar {
            bar: cap.bar,
            end,
            bar_len,
        });
    }
    let addr = bar_addr.checked_add(cap.offset).ok_or(overflow)?;
    Ok(Found { addr, len: cap.len })
}

/// Compares what we found with what the transport says. `None` when both say that there is no region.
///
/// # Errors
///
/// They differ.
pub(crate) fn agree(
    ours: Option<Found>,
    transport: Option<Found>,
) -> Result<Option<Found>, Refusal> {
    if ours == transport {
        Ok(ours)
    } else {
        Err(Refusal::Disagree { ours, transport })
    }
}

/// Checks that a region can be a window: whole mappings, aligned, and not beyond `limit`, the last mappable address.
///
/// # Errors
///
/// The first rule that it breaks.
pub(crate) fn check_window(found: Found, limit: u64) -> Result<(), Refusal> {
    let Found { addr, len } = found;
    if len == 0 {
        return Err(Refusal::Empty);
    }
    let end = addr
        .checked_add(len - 1)
        .ok_or(Refusal::Overflow { addr, len })?;
    if len < RANGE_SIZE {
        return Err(Refusal::TooSmall(len));
    }
    if len % RANGE_SIZE != 0 {
        return Err(Refusal::OddSize(len));
    }
    if addr % RANGE_SIZE != 0 {
        return Err(Refusal::Misaligned(addr));
    }
    if end > limit {
        return Err(Refusal::Unmappable { end, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A capability as a device writes it.
    fn cap(cfg_type: u8, id: u8, bar: u8, offset: u64, len: u64) -> [u8; CAP_LEN] {
        let mut c = [0; CAP_LEN];
        c[0] = 9;
        c[2] = 24;
        c[3] = cfg_type;
        c[4] = bar;
        c[5] = id;
        c[8..12].copy_from_slice(&(offset as u32).to_le_bytes());
        c[12..16].copy_from_slice(&(len as u32).to_le_bytes());
        c[16..20].copy_from_slice(&((offset >> 32) as u32).to_le_bytes());
        c[20..24].copy_from_slice(&((len >> 32) as u32).to_le_bytes());
        c
    }

    #[test]
    fn parses_64_bit_values() {
        let c = cap(8, 0, 4, 0x1_0000_2000, 0x10_4000_0000);
        let parsed = parse_shm_cap(&c, 0).unwrap().unwrap();
        assert_eq!((parsed.id, parsed.bar), (0, 4));
        assert_eq!((parsed.offset, parsed.len), (0x1_0000_2000, 0x10_4000_0000));
    }

    #[test]
    fn skips_other_capabilities() {
        assert_eq!(parse_shm_cap(&cap(1, 0, 4, 0, 1 << 26), 0), Ok(None));
        assert_eq!(parse_shm_cap(&cap(8, 1, 4, 0, 1 << 26), 0), Ok(None));
    }

    #[test]
    fn refuses_malformed_capabilities() {
        let mut c = cap(8, 0, 4, 0, 1 << 26);
        c[2] = 16;
        assert_eq!(parse_shm_cap(&c, 0), Err(Refusal::CapLength(16)));
        let c = cap(8, 0, 6, 0, 1 << 26);
        assert_eq!(parse_shm_cap(&c, 0), Err(Refusal::ReservedBar(6)));
    }

    fn shm(offset: u64, len: u64) -> ShmCap {
        ShmCap {
            id: 0,
            bar: 4,
            offset,
            len,
        }
    }

    #[test]
    fn places_within_the_bar_only() {
        let bar = Some((0x38_0000_0000, 1 << 26));
        let found = place(&shm(1 << 21, 1 << 22), bar).unwrap();
        assert_eq!((found.addr, found.len), (0x38_0020_0000, 1 << 22));
        assert!(place(&shm(0, 1 << 26), bar).is_ok());
        assert!(matches!(
            place(&shm(1, 1 << 26), bar),
            Err(Refusal::PastBar { bar: 4, .. })
        ));
        assert!(matches!(
            place(&shm(u64::MAX, 2), bar),
            Err(Refusal::CapOverflow { .. })
        ));
        assert!(matches!(
            place(&shm(2, 2), Some((u64::MAX - 1, 4))),
            Err(Refusal::CapOverflow { .. })
        ));
        assert_eq!(place(&shm(0, 1), None), Err(Refusal::NoBar(4)));
    }

    #[test]
    fn disagreement_is_refused() {
        let a = Some(Found { addr: 1, len: 2 });
        assert_eq!(agree(a, a), Ok(a));
        assert_eq!(agree(None, None), Ok(None));
        assert!(agree(a, None).is_err());
        assert!(agree(None, a).is_err());
        assert!(agree(a, Some(Found { addr: 1, len: 3 })).is_err());
    }

    fn check(addr: u64, len: u64) -> Result<(), Refusal> {
        check_window(Found { addr, len }, (1 << 46) - 1)
    }

    #[test]
    fn windows_are_whole_mappings() {
        assert_eq!(check(0x1_0000_0000, RANGE_SIZE), Ok(()));
        assert_eq!(check(0x1_0000_0000, 1 << 36), Ok(()));
        assert_eq!(check(0x1_0000_0000, 0), Err(Refusal::Empty));
        assert_eq!(
            check(0x1_0000_0000, 1 << 20),
            Err(Refusal::TooSmall(1 << 20))
        );
        assert_eq!(
            check(0x1_0000_0000, 5 << 20),
            Err(Refusal::OddSize(5 << 20))
        );
        assert_eq!(
            check(0x1_0000_1000, 1 << 26),
            Err(Refusal::Misaligned(0x1_0000_1000))
        );
    }

    #[test]
    fn windows_end_where_memory_can_be_mapped() {
        assert_eq!(check((1 << 46) - (1 << 26), 1 << 26), Ok(()));
        assert!(matches!(
            check(1 << 46, 1 << 26),
            Err(Refusal::Unmappable { .. })
        ));
        // The last byte may be the last of all; one more overflows.
        let top = u64::MAX - RANGE_SIZE + 1;
        assert!(matches!(
            check(top, RANGE_SIZE),
            Err(Refusal::Unmappable { .. })
        ));
        assert!(matches!(
            check(top, 2 * RANGE_SIZE),
            Err(Refusal::Overflow { .. })
        ));
        assert!(matches!(
            check(RANGE_SIZE, u64::MAX),
            Err(Refusal::Overflow { .. })
        ));
    }
}
