// SPDX-License-Identifier: GPL-2.0

//! What comes with a request beyond its arguments: who the caller is, the group and the security label of what is made.

use zerocopy::FromBytes;

use super::{Request, Server};
use crate::counters::count;
use crate::proto::{self, init, op};

impl Request<'_> {
    /// The supplementary group that the client sends with a creation.
    pub(super) fn group(&self) -> Option<u32> {
        let mut ext = self.ext;
        while let Ok((hdr, rest)) = proto::ExtHeader::read_from_prefix(ext) {
            if hdr.typ == proto::EXT_GROUPS {
                let (n, groups) = u32::read_from_prefix(rest).ok()?;
                return (n > 0)
                    .then(|| u32::read_from_prefix(groups).ok().map(|(g, _)| g))
                    .flatten();
            }
            ext = ext.get(hdr.size.max(8) as usize..)?;
        }
        None
    }
}

/// The label in the extensions of a request: attribute and value. An error says what is wrong.
fn label(ext: &[u8]) -> Result<Option<(String, String)>, &'static str> {
    let (head, _) = proto::ExtHeader::read_from_prefix(ext).map_err(|_| "no header")?;
    let all = ext
        .get(..head.size as usize)
        .ok_or("longer than what came")?;
    let rest = all.get(8..).ok_or("shorter than its header")?;
    match head.typ {
        0 if rest.is_empty() => return Ok(None),
        1 => (),
        _ => return Err("not one label"),
    }
    let (size, rest) = u32::read_from_prefix(rest).map_err(|_| "no length")?;
    let rest = rest.get(4..).ok_or("no padding")?;
    let end = rest
        .iter()
        .position(|b| *b == 0)
        .ok_or("name without end")?;
    let (name, value) = (&rest[..end], &rest[end + 1..]);
    let padding = value
        .len()
        .checked_sub(size as usize)
        .ok_or("value cut off")?;
    if padding >= 8 || all.len() % 8 != 0 {
        return Err("wrong padding");
    }
    let text = |b: &[u8]| String::from_utf8_lossy(b).trim_end_matches('\0').to_owned();
    Ok(Some((text(name), text(&value[..size as usize]))))
}

impl Server {
    /// Notes the label of what is made, and counts what the client should not have said.
    pub(super) fn look_at_caller(&self, req: &Request) {
        let makes = matches!(
            req.hdr.opcode,
            op::MKNOD | op::MKDIR | op::SYMLINK | op::CREATE | op::TMPFILE
        );
        if makes && self.has(init::SECURITY_CTX) {
            let text = match label(req.ext) {
                Ok(Some((name, value))) => format!("{name} {value}"),
                Ok(None) => "none".into(),
                Err(why) => {
                    req.bad(&format!("security label: {why}"));
                    "bad".into()
                }
            };
            *self.label.lock().unwrap_or_else(|e| e.into_inner()) = text;
        }
        let named = ![0, u32::MAX].contains(&req.hdr.uid) || ![0, u32::MAX].contains(&req.hdr.gid);
        if named && !makes && self.has(init::ALLOW_IDMAP) {
            count(&self.counters.stray_ids);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn labels_are_read() {
        let mut ext = [40u32, 1, 6, 0]
            .iter()
            .flat_map(|n| n.to_ne_bytes())
            .collect::<Vec<u8>>();
        ext.extend_from_slice(b"security.name\0value\0\0\0\0\0");
        assert_eq!(
            label(&ext),
            Ok(Some(("security.name".into(), "value".into())))
        );
        assert!(label(&ext[..32]).is_err());
        ext[8] = 40;
        assert!(label(&ext).is_err());
        let none = [8u32, 0]
            .iter()
            .flat_map(|n| n.to_ne_bytes())
            .collect::<Vec<u8>>();
        assert_eq!(label(&none), Ok(None));
        assert!(label(&[]).is_err());
    }
}
