// SPDX-License-Identifier: GPL-2.0

//! One descriptor chain as two lists of pieces of guest memory: what the driver wrote for us, and where it wants the
//! reply. File data goes straight between these pieces and the file. The guest may change its memory at any time, so
//! everything that is looked at is copied out once and only the copy is used.

use std::os::fd::RawFd;
use std::sync::Arc;

use virtio_queue::desc::split::Descriptor;
use virtio_queue::DescriptorChain;
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap};

use crate::sys::{Errno, Res};

/// The guest's memory at one moment. Memory that QEMU takes away stays mapped here as long as a request uses it.
pub type Memory = Arc<GuestMemoryMmap<()>>;

/// Most pieces that one preadv(2) or pwritev(2) takes.
const IOV_MAX: usize = 1024;

/// A list of pieces of guest memory. The memory itself is kept alive by the `Chain` that the list came from.
#[derive(Clone, Default)]
pub struct Pieces {
    iov: Vec<libc::iovec>,
    /// A descriptor pointed outside guest memory (for instance into the DAX window): the list ends before it.
    pub truncated: bool,
}

// SAFETY: the pointers are to memory shared with the guest, which no Rust reference ever covers, and moving them
// between threads is fine.
unsafe impl Send for Pieces {}

impl Pieces {
    /// A list of one piece that is not guest memory.
    #[cfg(test)]
    pub fn of(buf: &mut [u8]) -> Self {
        let piece = libc::iovec {
            iov_base: buf.as_mut_ptr().cast(),
            iov_len: buf.len(),
        };
        Pieces {
            iov: vec![piece],
            truncated: false,
        }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.iov.iter().map(|v| v.iov_len).sum()
    }

    fn push(&mut self, mem: &GuestMemoryMmap<()>, desc: Descriptor) {
        if self.truncated {
            return;
        }
        let from = self.iov.len();
        for slice in mem.get_slices(desc.addr(), desc.len() as usize) {
            match slice {
                Ok(s) => self.iov.push(libc::iovec {
                    iov_base: s.ptr_guard_mut().as_ptr().cast(),
                    iov_len: s.len(),
                }),
                Err(_) => {
                    self.iov.truncate(from);
                    self.truncated = true;
                    return;
                }
            }
        }
    }

    /// The list without its first `n` bytes.
    pub fn skip(&self, mut n: usize) -> Self {
        let iov = Vec::with_capacity(self.iov.len());
        let mut out = Pieces {
            iov,
            truncated: self.truncated,
        };
        for v in &self.iov {
            let cut = n.min(v.iov_len);
            n -= cut;
            if cut < v.iov_len {
                // SAFETY: `cut` is less than the length of the piece.
                let base = unsafe { v.iov_base.cast::<u8>().add(cut) };
                out.iov.push(libc::iovec {
                    iov_base: base.cast(),
                    iov_len: v.iov_len - cut,
                });
            }
        }
        out
    }

    /// The first `n` bytes of the list.
    pub fn take(&self, mut n: usize) -> Self {
        let iov = Vec::with_capacity(self.iov.len());
        let mut out = Pieces {
            iov,
            truncated: self.truncated && n > self.len(),
        };
        for v in &self.iov {
            let len = n.min(v.iov_len);
            if len == 0 {
                break;
            }
            n -= len;
            out.iov.push(libc::iovec {
                iov_base: v.iov_base,
                iov_len: len,
            });
        }
        out
    }

    /// Copies up to `max` bytes out of guest memory.
    pub fn copy_out(&self, max: usize) -> Vec<u8> {
        let want = max.min(self.len());
        let mut buf: Vec<u8> = Vec::with_capacity(want);
        for v in &self.iov {
            let n = v.iov_len.min(want - buf.len());
            // SAFETY: `n` bytes are left in the reserved buffer, and the piece is at least that long. The guest may
            // write meanwhile; any bytes will do.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    v.iov_base.cast::<u8>(),
                    buf.as_mut_ptr().add(buf.len()),
                    n,
                );
                buf.set_len(buf.len() + n);
            }
        }
        buf
    }

    /// Copies as much of `data` as fits into guest memory and returns how much that was.
    pub fn copy_in(&self, data: &[u8]) -> usize {
        let mut done = 0;
        for v in &self.iov {
            let n = v.iov_len.min(data.len() - done);
            // SAFETY: both sides have at least `n` bytes, and the guest's memory is never part of `data`.
            unsafe {
                std::ptr::copy_nonoverlapping(data.as_ptr().add(done), v.iov_base.cast::<u8>(), n)
            };
            done += n;
        }
        done
    }

    fn each_call(&self, mut io: impl FnMut(&[libc::iovec], usize) -> isize) -> Res<usize> {
        let mut done = 0;
        for part in self.iov.chunks(IOV_MAX) {
            let want: usize = part.iter().map(|v| v.iov_len).sum();
            let Ok(n) = usize::try_from(io(part, done)) else {
                return if done > 0 {
                    Ok(done)
                } else {
                    Err(Errno::last())
                };
            };
            done += n;
            if n < want {
                break;
            }
        }
        Ok(done)
    }

    /// Reads from the file into guest memory.
    pub fn read_from(&self, fd: RawFd, offset: u64) -> Res<usize> {
        let offset = i64::try_from(offset).map_err(|_| Errno(libc::EINVAL))?;
        // SAFETY: every piece is valid guest memory for its whole length.
        self.each_call(|iov, done| unsafe {
            libc::preadv64(
                fd,
                iov.as_ptr(),
                iov.len() as libc::c_int,
                offset.saturating_add(done as i64),
            )
        })
    }

    /// Writes guest memory to the file, with the flags of pwritev2(2).
    pub fn write_to(&self, fd: RawFd, offset: u64, flags: i32) -> Res<usize> {
        let offset = i64::try_from(offset).map_err(|_| Errno(libc::EINVAL))?;
        // SAFETY: every piece is valid guest memory for its whole length.
        self.each_call(|iov, done| unsafe {
            libc::pwritev2(
                fd,
                iov.as_ptr(),
                iov.len() as libc::c_int,
                offset.saturating_add(done as i64),
                flags,
            )
        })
    }
}

/// A descriptor chain that the driver has made available.
pub struct Chain {
    _mem: Memory,
    /// Index of its first descriptor, to give it back.
    pub head: u16,
    /// What the driver wrote: the request.
    pub readable: Pieces,
    /// Where the reply goes.
    pub writable: Pieces,
}

impl Chain {
    /// Resolves the descriptors. A chain that mixes up the order (readable after writable) ends there.
    pub fn new(mem: Memory, chain: DescriptorChain<Memory>) -> Self {
        let head = chain.head_index();
        let (mut readable, mut writable) = (Pieces::default(), Pieces::default());
        let mut seen_writable = false;
        for desc in chain {
            if desc.is_write_only() {
                seen_writable = true;
                writable.push(&mem, desc);
            } else if seen_writable {
                readable.truncated = true;
                break;
            } else {
                readable.push(&mem, desc);
            }
        }
        Chain {
            _mem: mem,
            head,
            readable,
            writable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn pieces(bufs: &mut [Vec<u8>]) -> Pieces {
        let iov = bufs
            .iter_mut()
            .map(|b| libc::iovec {
                iov_base: b.as_mut_ptr().cast(),
                iov_len: b.len(),
            })
            .collect();
        Pieces {
            iov,
            truncated: false,
        }
    }

    #[test]
    fn cut_and_copy() {
        let mut bufs = [vec![1u8, 2, 3], vec![4, 5], vec![6]];
        let p = pieces(&mut bufs);
        assert_eq!(p.len(), 6);
        assert_eq!(p.skip(2).copy_out(100), [3, 4, 5, 6]);
        assert_eq!(p.skip(3).take(2).copy_out(100), [4, 5]);
        assert_eq!(p.skip(100).len(), 0);
        assert_eq!(p.take(4).copy_out(2), [1, 2]);
        assert_eq!(p.skip(1).copy_in(&[9, 9, 9]), 3);
        assert_eq!(p.copy_in(&[7; 100]), 6);
        assert_eq!(p.copy_out(100), [7; 6]);
    }

    #[test]
    fn many_pieces_go_to_a_file_and_back() {
        let file = tempfile::tempfile().unwrap();
        let mut out: Vec<Vec<u8>> = (0..3000u32).map(|i| vec![i as u8; 3]).collect();
        let p = pieces(&mut out);
        assert_eq!(p.write_to(file.as_raw_fd(), 10, 0), Ok(9000));
        let mut back: Vec<Vec<u8>> = (0..3000).map(|_| vec![0; 3]).collect();
        assert_eq!(pieces(&mut back).read_from(file.as_raw_fd(), 10), Ok(9000));
        assert_eq!(out, back);
        assert_eq!(pieces(&mut back).read_from(file.as_raw_fd(), 9009), Ok(1));
        assert_eq!(
            pieces(&mut back).read_from(file.as_raw_fd(), u64::MAX),
            Err(Errno(libc::EINVAL))
        );
    }
}
