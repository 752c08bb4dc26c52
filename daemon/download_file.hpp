// Files that wait for clients to fetch them, each in a folder of its own under an id, each for one call. The
// folders are the only memory: ID.claimed while a file is made or sent, ID while it waits.
#pragma once

#include "daemon/own_folder.hpp"
#include "daemon/router.hpp"
#include "lib/image.hpp"

#include <chrono>

namespace capsul {

/// A file that is made for somebody; gone unless finish() returns.
class OutgoingFile {
  public:
    /// In `folder`, which holds nothing else.
    explicit OutgoingFile(const std::filesystem::path& folder);

    /// For the file or folder that it is made of: on the same file system, and gone when it is finished.
    [[nodiscard]] std::filesystem::path source() const { return own_.path() / "source"; }
    /// Where it is to be written; nothing is there yet.
    [[nodiscard]] std::filesystem::path path() const;
    [[nodiscard]] Download finish();

  private:
    const std::filesystem::path folder_;
    const Uuid id_;
    OwnFolder own_;
};

/// The content of one, which is gone when this is. Throws Error (not_found) when there is no such file, or
/// another call has it.
[[nodiscard]] DownloadResponse claim_download(const std::filesystem::path& folder, const Uuid& id);

/// Removes those that have waited for `age`.
void expire_downloads(const std::filesystem::path& folder, std::chrono::seconds age);

} // namespace capsul
