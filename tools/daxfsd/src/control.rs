// SPDX-License-Identifier: GPL-2.0

//! The control socket: one command per line; the answer is any number of lines and then `ok`, or `err` with a reason.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

use crate::fs::{flag_names, Server};
use crate::glob::Files;
use crate::proto;
use crate::script::Script;

const HELP: &str = "\
counters                     every opcode seen with its number of requests, then the other counters
reset                        set all counters to zero
recent                       the last requests in their order, at most 512: opcode and node
mappings                     live mappings: window offset, length, file, file offset, ro or rw
init                         what INIT has negotiated
label                        security label that came with what was made last: attribute and value
nofiles                      inodes, lookups, open handles and owners of locks of the client
delay OPCODE|all MS          answer only after MS milliseconds; 0 ends it
fault OPCODE|all COUNT KIND  answer the next COUNT requests wrongly
                             KIND: short long length unique empty hang die errno:N poke:AT:N
fuzz SEED ONE_IN [careful] [hang]
                             of so many answers one is wrong, by chance from a seed; careful: not about
                             sizes of files; hang: some never come
faults                       faults in force
faults clear                 no more faults, of the seed neither
hung                         number of requests that hang
release-hung                 answer what hangs
dax-files all|none|PATTERN   which files get FUSE_ATTR_DAX from now on
cache never|auto|always      how much the client may cache; best between mounts, as the next two
enable none|FLAG,...         INIT flags to offer beyond the usual from the next mount on
disable none|FLAG,...        INIT flags to hold back from the next mount on
fopen none|FLAG,...          more flags for regular files that are opened from now on
map-alignment LOG2           what INIT says of the alignment of mappings, from the next mount on
background MAX CONGESTION    what INIT says of requests without anybody waiting, from the next mount on
defaults                     all of this as on the command line
help                         this
";

/// INIT flags by their names, joined by commas.
fn flags(names: &str) -> Result<u64, String> {
    if names == "none" {
        return Ok(0);
    }
    names.split(',').try_fold(0, |all, name| {
        let flag =
            proto::init_flag_by_name(name).ok_or_else(|| format!("no INIT flag {name:?}"))?;
        Ok(all | flag)
    })
}

/// What the commands act on.
#[derive(Clone)]
pub struct Control {
    pub server: Arc<Server>,
    pub script: Arc<Script>,
}

impl Control {
    /// Listens on `path` and serves every client on a thread of its own.
    pub fn listen(self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => (),
        }
        let listener = UnixListener::bind(path)?;
        std::thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    let me = self.clone();
                    let serve = move || {
                        if let Err(e) = me.serve(stream) {
                            log::debug!("control client: {e}");
                        }
                    };
                    if let Err(e) = std::thread::Builder::new()
                        .name("control-client".into())
                        .spawn(serve)
                    {
                        log::error!("no thread for a control client: {e}");
                    }
                }
            })?;
        Ok(())
    }

    fn serve(&self, stream: UnixStream) -> io::Result<()> {
        let mut out = stream.try_clone()?;
        for line in BufReader::new(stream).lines() {
            let answer = match self.command(&line?) {
                Ok(text) => text + "ok\n",
                Err(why) => format!("err {why}\n"),
            };
            out.write_all(answer.as_bytes())?;
        }
        Ok(())
    }

    /// Carries out one command and returns the lines of its answer.
    fn command(&self, line: &str) -> Result<String, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let counters = &self.server.counters;
        let mut out = String::new();
        match words[..] {
            ["counters"] => {
                let (opcodes, others) = (counters.opcodes(), counters.others());
                for (name, n) in opcodes.into_iter().chain(others) {
                    let _ = writeln!(out, "{name} {n}");
                }
                let _ = writeln!(out, "live_maps {}", self.server.window.mappings().len());
            }
            ["reset"] => counters.reset(),
            ["recent"] => {
                for (opcode, nodeid) in counters.recent() {
                    let _ = writeln!(out, "{} {nodeid}", proto::op_name(opcode).unwrap_or("?"));
                }
            }
            ["mappings"] => {
                for (at, m) in self.server.window.mappings() {
                    let (path, mode) = (
                        self.server.path_of(m.nodeid),
                        if m.writable { "rw" } else { "ro" },
                    );
                    let _ = writeln!(out, "{at:#x} {:#x} {path} {:#x} {mode}", m.len, m.foffset);
                }
            }
            ["init"] => {
                let init = *self.server.init.lock().unwrap_or_else(|e| e.into_inner());
                let init = init.ok_or("no INIT yet")?;
                let _ = writeln!(out, "minor {}", init.minor);
                let _ = writeln!(out, "offered {}", flag_names(init.offered));
                let _ = writeln!(out, "flags {}", flag_names(init.agreed));
            }
            ["nofiles"] => {
                let (inodes, lookups, handles) = self.server.census();
                let locks = self.server.locks.held();
                let _ = writeln!(
                    out,
                    "inodes {inodes}\nlookups {lookups}\nhandles {handles}\nlocks {locks}"
                );
            }
            ["label"] => {
                let label = self.server.label.lock().unwrap_or_else(|e| e.into_inner());
                let _ = writeln!(out, "{label}");
            }
            ["delay", target, ms] => self.script.set_delay(target, ms)?,
            ["fault", target, count, kind] => self.script.add_fault(target, count, kind)?,
            ["fuzz", seed, one_in, ref more @ ..] => self.script.set_fuzz(seed, one_in, more)?,
            ["faults"] => {
                for line in self.script.list_faults() {
                    let _ = writeln!(out, "{line}");
                }
            }
            ["faults", "clear"] => self.script.clear_faults(),
            ["hung"] => {
                let _ = writeln!(out, "{}", self.script.hung());
            }
            ["release-hung"] => self.script.release(),
            ["dax-files", rule] => {
                let rule: Files = rule.parse()?;
                *self
                    .server
                    .dax_files
                    .write()
                    .unwrap_or_else(|e| e.into_inner()) = rule;
            }
            ["cache", mode] => {
                let cache = clap::ValueEnum::from_str(mode, false)?;
                self.server.configure(|config| config.cache = cache);
            }
            ["enable", names] => {
                let enable = flags(names)?;
                self.server.configure(|config| config.enable = enable);
            }
            ["disable", names] => {
                let disable = flags(names)?;
                self.server.configure(|config| config.disable = disable);
            }
            ["fopen", names] => {
                let fopen =
                    names
                        .split(',')
                        .filter(|name| *name != "none")
                        .try_fold(0, |all, name| {
                            let flag = proto::fopen_flag_by_name(name);
                            Ok::<_, String>(all | flag.ok_or(format!("no flag {name:?}"))?)
                        })?;
                self.server.configure(|config| config.fopen = fopen);
            }
            ["map-alignment", log2] => {
                let log2 = log2.parse::<u16>().map_err(|e| format!("{log2:?}: {e}"))?;
                self.server.configure(|config| config.map_alignment = log2);
            }
            ["background", max, congestion] => {
                let number = |s: &str| s.parse::<u16>().map_err(|e| format!("{s:?}: {e}"));
                let limits = (number(max)?, number(congestion)?);
                self.server.configure(|config| config.background = limits);
            }
            ["defaults"] => self.server.configure_defaults(),
            ["help"] => out.push_str(HELP),
            _ => return Err(format!("unknown command {line:?}: try help")),
        }
        Ok(out)
    }
}
