//! The documents of a workspace and the texts that are shipped for them.

mod shipped;
mod shown;

pub use shipped::{heartbeat_prompt, render_shipped, start_message};
pub use shown::too_long;

/// One of the documents that make up a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Document {
    /// The rules of work; carries the essentials of documents that a gateway refuses.
    Agents,
    /// The agent's permissions to act without being asked.
    Autonomy,
    /// The instructions for the start of the gateway.
    Boot,
    /// The instructions for the first day.
    Bootstrap,
    /// The instructions for each heartbeat; leads have a different text.
    Heartbeat,
    /// The identity of the agent.
    Identity,
    /// The memory of the agent.
    Memory,
    /// The agent's image of itself, which it owns after the first day.
    SelfImage,
    /// The character of the agent.
    Soul,
    /// The character that the current task needs.
    TaskSoul,
    /// The addresses and credentials that the agent uses.
    Tools,
    /// The person that the agent works for.
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

    /// Returns the name of the file in the workspace.
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

    /// Returns the document with this file name, if there is one.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|document| document.file_name() == name)
    }

    /// Returns whether the agent owns the document after its first day. An existing file of such a
    /// document is never overwritten.
    #[must_use]
    pub const fn is_agents_own(self) -> bool {
        matches!(self, Self::SelfImage | Self::User | Self::Memory | Self::TaskSoul)
    }
}
