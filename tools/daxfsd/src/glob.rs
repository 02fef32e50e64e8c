// SPDX-License-Identifier: GPL-2.0

//! Which files get FUSE_ATTR_DAX, told by name.

/// A rule for file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    All,
    None,
    /// A pattern with `*` and `?` for the last part of the path.
    Glob(String),
}

impl std::str::FromStr for Files {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "all" => Ok(Files::All),
            "none" => Ok(Files::None),
            _ if s.contains('/') || s.is_empty() => {
                Err(format!("not a pattern for a file name: {s:?}"))
            }
            _ => Ok(Files::Glob(s.into())),
        }
    }
}

impl Files {
    /// Does the rule choose this name?
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            Files::All => true,
            Files::None => false,
            Files::Glob(pattern) => glob(pattern.as_bytes(), name),
        }
    }
}

fn glob(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|i| glob(rest, &name[i..])),
        Some((c, rest)) => name
            .split_first()
            .is_some_and(|(n, tail)| (*c == b'?' || c == n) && glob(rest, tail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let rule: Files = "*.dax".parse().unwrap();
        assert!(
            rule.matches(b"a.dax")
                && rule.matches(b".dax")
                && !rule.matches(b"a.dax2")
                && !rule.matches(b"")
        );
        let rule: Files = "f?le*".parse().unwrap();
        assert!(rule.matches(b"file") && rule.matches(b"fule.x") && !rule.matches(b"fle"));
        assert!("all".parse::<Files>().unwrap().matches(b"x"));
        assert!(!"none".parse::<Files>().unwrap().matches(b"x"));
        assert!("a/b".parse::<Files>().is_err());
    }
}
