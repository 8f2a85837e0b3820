//! The methods `agents.files.list`, `agents.files.get` and `agents.files.set`.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    agents::{not_found, text},
    answer::{Outcome, Refusal},
    disk::File,
    profile::Profile,
    world::{World, normalised_id},
};

/// Returns the SHA-256 hash in lower-case hex digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// The agent that owns files.
struct Owner {
    id: String,
    workspace: String,
    folder: String,
}

impl World {
    pub(crate) fn list_files(&self, params: &Value) -> Outcome {
        let owner = self.file_owner(params)?;
        let present = |name: &str| self.disk.file(&owner.folder, name).is_some();
        let shown =
            self.listed.iter().filter(|name| self.options.list_missing_files || present(name));
        let files: Vec<Value> = shown.map(|name| self.described(&owner, name)).collect();
        Ok(json!({ "agentId": owner.id, "workspace": owner.workspace, "files": files }))
    }

    pub(crate) fn get_file(&self, params: &Value) -> Outcome {
        let owner = self.file_owner(params)?;
        let file = self.read(&owner, self.file_name(params)?);
        Ok(json!({ "agentId": owner.id, "workspace": owner.workspace, "file": file }))
    }

    pub(crate) fn set_file(&mut self, params: &Value) -> Outcome {
        let owner = self.file_owner(params)?;
        let name = self.file_name(params)?.to_owned();
        self.refuse_impossible("agents.files.set", &owner.id, &owner.workspace)?;
        let file = File::new(text(params, "content"));
        self.disk.make(&owner.folder, &owner.id).insert(name.clone(), file);
        let file = self.read(&owner, &name);
        Ok(json!({ "ok": true, "agentId": owner.id, "workspace": owner.workspace, "file": file }))
    }

    /// Removes a file without a call, if it is there.
    pub(crate) fn remove_file(&mut self, agent: &str, name: &str) {
        if let Some(entry) = self.agent(agent) {
            let folder = self.folder(agent, &entry);
            self.disk.remove(&folder, name);
        }
    }

    /// Returns the agent that owns the files, and their folder.
    fn file_owner(&self, params: &Value) -> Result<Owner, Refusal> {
        let id = normalised_id(text(params, "agentId"));
        let Some(entry) = self.agent(&id) else {
            let unknown = || Refusal::invalid("unknown agent id");
            return Err(if self.profile.is_new() { not_found(&id) } else { unknown() });
        };
        Ok(Owner { workspace: self.workspace(&id, &entry), folder: self.folder(&id, &entry), id })
    }

    fn file_name<'a>(&self, params: &'a Value) -> Result<&'a str, Refusal> {
        let name = text(params, "name");
        if self.accepted.iter().any(|accepted| accepted == name) {
            Ok(name)
        } else {
            Err(Refusal::invalid(format!("unsupported file \"{name}\"")))
        }
    }

    /// Returns a file with its content.
    fn read(&self, owner: &Owner, name: &str) -> Value {
        let mut described = self.described(owner, name);
        if let Some(file) = self.disk.file(&owner.folder, name) {
            if self.profile >= Profile::V2026_9_6 {
                described["hash"] = sha256_hex(file.content.as_bytes()).into();
            }
            described["content"] = file.content.clone().into();
        }
        described
    }

    /// Returns the description of a file, without its content.
    fn described(&self, owner: &Owner, name: &str) -> Value {
        let file = self.disk.file(&owner.folder, name);
        let path = format!("{}/{name}", owner.workspace);
        let mut described = json!({ "name": name, "path": path, "missing": file.is_none() });
        match file {
            Some(file) => {
                described["size"] = file.content.len().into();
                described["updatedAtMs"] = file.updated_at_ms.into();
            }
            // These files exist without ever being written.
            None if self.profile == Profile::V2026_8_2 => {
                let optional = ["SOUL.md", "USER.md", "MEMORY.md"].contains(&name);
                described["expectedAbsent"] = optional.into();
            }
            None if self.profile.is_new() && name == "MEMORY.md" => {
                described["expectedAbsent"] = true.into();
            }
            None => {}
        }
        described
    }
}
