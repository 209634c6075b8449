//! How is a terminal taken over, and given back whatever happens? Modes, signals, keys.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGSTOP, SIGTERM, SIGWINCH};
use signal_hook::low_level::{pipe, raise};

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A key.
    Key(char),
    /// This signal wants us to end.
    Signal(i32),
    /// The terminal is gone.
    Closed,
    /// The time is over, the size has changed or the bell has rung.
    Time,
}

/// Standard input without echo and line editing, and the signals that would end the program. Given
/// back when it is dropped.
pub struct Keys {
    before: Termios,
    bell: UnixStream,
    signal: Arc<AtomicUsize>,
    /// Signals end the program again.
    is_given_back: Arc<AtomicBool>,
}

impl Keys {
    /// Takes them over, once in a program's life.
    ///
    /// # Errors
    /// Standard input is no terminal.
    pub fn open() -> io::Result<Keys> {
        let before = tcgetattr(io::stdin())?;
        let (bell, ring) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        let (signal, is_given_back) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        for number in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            let value = number.unsigned_abs() as usize;
            signal_hook::flag::register_conditional_default(number, Arc::clone(&is_given_back))?;
            signal_hook::flag::register_usize(number, Arc::clone(&signal), value)?;
            pipe::register(number, ring.try_clone()?)?;
        }
        pipe::register(SIGWINCH, ring)?;
        let keys = Keys { before, bell, signal, is_given_back };
        keys.hide()?;
        Ok(keys)
    }

    /// Waits for a key or a signal, no longer than `time` if there is one; `other` rings, too.
    ///
    /// # Errors
    /// Nobody can wait.
    pub fn wait(&self, time: Option<Duration>, other: Option<&UnixStream>) -> io::Result<Event> {
        let input = io::stdin();
        let other = other.unwrap_or(&self.bell);
        let mut descriptors = [
            PollFd::new(&input, PollFlags::IN),
            PollFd::new(&self.bell, PollFlags::IN),
            PollFd::new(other, PollFlags::IN),
        ];
        let time = time.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        match poll(&mut descriptors, time.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let typed = !descriptors[0].revents().is_empty();
        for mut bell in [&self.bell, other] {
            // How often it has rung does not matter.
            let _ = bell.read(&mut [0; 64]);
        }
        match i32::try_from(self.signal.swap(0, Ordering::SeqCst)) {
            Ok(0) | Err(_) => {}
            Ok(signal) => return Ok(Event::Signal(signal)),
        }
        if !typed {
            return Ok(Event::Time);
        }
        let mut bytes = [0; 64];
        match rustix::io::read(input.as_fd(), &mut bytes[..1]) {
            Ok(0) | Err(rustix::io::Errno::IO) => Ok(Event::Closed),
            Ok(_) if bytes[0] == 0x1b => Ok(self.escaped()),
            Ok(_) => Ok(Event::Key(char::from(bytes[0]))),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(Event::Time),
            Err(error) => Err(error.into()),
        }
    }

    /// The escape key; or another one that terminals spell with it, which means nothing here.
    fn escaped(&self) -> Event {
        let input = io::stdin();
        let mut descriptors = [PollFd::new(&input, PollFlags::IN)];
        let soon = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        match poll(&mut descriptors, Some(&soon)) {
            Ok(1..) => {
                let _ = rustix::io::read(input.as_fd(), &mut [0; 64]);
                Event::Time
            }
            Ok(_) | Err(_) => Event::Key('\u{1b}'),
        }
    }

    fn hide(&self) -> io::Result<()> {
        let mut hidden = self.before.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &hidden)?)
    }

    fn restore(&self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.restore();
        self.is_given_back.store(true, Ordering::SeqCst);
    }
}

/// The whole terminal: what was on it comes back when this is dropped.
pub struct Screen {
    keys: Keys,
    /// What is on it, to draw nothing twice.
    drawn: Vec<String>,
    size: (usize, usize),
}

impl Screen {
    /// Takes it over.
    ///
    /// # Errors
    /// There is no terminal.
    pub fn open() -> io::Result<Screen> {
        let keys = Keys::open()?;
        let screen = Screen { keys, drawn: Vec::new(), size: (0, 0) };
        print(ENTER)?;
        Ok(screen)
    }

    /// Columns and lines.
    pub fn size(&self) -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (size.ws_col.into(), size.ws_row.into())
            }
            Ok(_) | Err(_) => (80, 24),
        }
    }

    /// Shows `lines`, in one write, and only those that have changed.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let mut text = String::new();
        let size = self.size();
        if size != self.size {
            self.drawn.clear();
            self.size = size;
            text.push_str(CLEAR);
        }
        for index in 0..lines.len().max(self.drawn.len()) {
            let (new, old) = (lines.get(index), self.drawn.get(index));
            if new != old {
                let line = new.map_or("", String::as_str);
                text.push_str(&format!("\x1b[{};1H{line}\x1b[0m", index + 1));
                // A line that is full leaves nothing to erase, and erasing would take its end.
                if line.is_empty() {
                    text.push_str("\x1b[2K");
                }
            }
        }
        self.drawn = lines.to_vec();
        if text.is_empty() { Ok(()) } else { print(&text) }
    }

    /// Waits; see [`Keys::wait`].
    ///
    /// # Errors
    /// Nobody can wait.
    pub fn wait(&self, time: Duration, other: &UnixStream) -> io::Result<Event> {
        self.keys.wait(Some(time), Some(other))
    }

    /// Gives the terminal back until the shell lets us go on.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn suspend(&mut self) -> io::Result<()> {
        print(LEAVE)?;
        self.keys.restore();
        raise(SIGSTOP)?;
        self.keys.hide()?;
        self.size = (0, 0);
        print(ENTER)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where it cannot be written, nobody looks.
        let _ = print(LEAVE);
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The other screen, without a cursor and without lines that wrap.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const CLEAR: &str = "\x1b[2J";
