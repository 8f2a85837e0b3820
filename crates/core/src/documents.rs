//! The documents of a workspace and their shipped texts.

mod shipped;
mod shown;

pub use shipped::{heartbeat_prompt, render_shipped, start_message};
pub use shown::{SHOWN, too_long};

/// One of the documents that make a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Document {
    /// How to work here; carries the essentials of documents that a gateway refuses.
    Agents,
    /// What the agent may do unasked.
    Autonomy,
    /// What to do when the gateway starts.
    Boot,
    /// What to do on the first day.
    Bootstrap,
    /// What to do at each heartbeat; leads have another text than the rest.
    Heartbeat,
    /// Who the agent is.
    Identity,
    /// What it remembers.
    Memory,
    /// How it sees itself; its own after the first day.
    SelfImage,
    /// Its character.
    Soul,
    /// What its current task asks of it.
    TaskSoul,
    /// Addresses and credentials.
    Tools,
    /// The person it works for.
    User,
}

impl Document {
    /// All documents, sorted by file name.
    pub const ALL: [Self; 12] = [
        Self::Agents,
        Self::Autonomy,
        Self::Boot,
        Self::Bootstrap,
        Self::Heartbeat,
        Self::Identity,
        Self::Memory,
        Self::SelfImage,
        Self::Soul,
        Self::TaskSoul,
        Self::Tools,
        Self::User,
    ];

    /// The file's name in the workspace.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Agents => "AGENTS.md",
            Self::Autonomy => "AUTONOMY.md",
            Self::Boot => "BOOT.md",
            Self::Bootstrap => "BOOTSTRAP.md",
            Self::Heartbeat => "HEARTBEAT.md",
            Self::Identity => "IDENTITY.md",
            Self::Memory => "MEMORY.md",
            Self::SelfImage => "SELF.md",
            Self::Soul => "SOUL.md",
            Self::TaskSoul => "TASK_SOUL.md",
            Self::Tools => "TOOLS.md",
            Self::User => "USER.md",
        }
    }

    /// The document of that file name, if there is one.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|document| document.file_name() == name)
    }

    /// Whether the document belongs to the agent after its first day, so that a present one is
    /// never overwritten.
    #[must_use]
    pub const fn is_agents_own(self) -> bool {
        matches!(self, Self::SelfImage | Self::User | Self::Memory | Self::TaskSoul)
    }
}
