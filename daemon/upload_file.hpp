// Files that clients send: received into a folder under an id, hashed on the way, claimed once by the call
// that uses them. The folder is the only memory: ID.part while it comes, ID.HEX (its SHA-256) when it is
// whole.
#pragma once

#include "daemon/digest.hpp"
#include "lib/fd.hpp"
#include "lib/image.hpp"
#include "lib/sparse_writer.hpp"

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace capsul {

/// A file that is removed when this goes, unless it was given away by rename.
class TemporaryFile {
  public:
    explicit TemporaryFile(std::filesystem::path path) : path_(std::move(path)) {}
    TemporaryFile(TemporaryFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    TemporaryFile& operator=(TemporaryFile&& other) noexcept {
        path_.swap(other.path_);
        return *this;
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile();

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    /// Moves it to `target` (same file system); throws Error and keeps it when that fails.
    void rename_to(const std::filesystem::path& target);

  private:
    std::filesystem::path path_;
};

/// A file on its way in; gone without trace unless finish() returns.
class IncomingFile {
  public:
    /// Throws Error: invalid when a digest in `expected` is malformed, no_space when the disk is full
    /// already.
    IncomingFile(const std::filesystem::path& folder, const UploadFile& expected, Bytes max_size);

    /// Blocks of zeros become holes. Throws Error: too_large, no_space.
    void write(std::string_view piece);
    /// Throws Error (verification) when the digest is not the one expected.
    [[nodiscard]] Upload finish();

  private:
    const std::filesystem::path folder_;
    const UploadFile expected_;
    const Bytes max_size_;
    const Uuid id_;
    Hash sha256_;
    std::optional<Hash> sha512_;
    TemporaryFile file_;
    UniqueFd fd_;
    std::optional<SparseWriter> writer_;
};

/// An upload taken by the one call that uses it.
struct ClaimedFile {
    TemporaryFile file;
    Digest digest;
};

/// Throws Error (not_found) when there is no such upload, or another call has taken it.
[[nodiscard]] ClaimedFile claim_upload(const std::filesystem::path& folder, const Uuid& id);

/// Removes uploads that have waited for `age`: not claimed ones, nor any that is still being sent.
void expire_uploads(const std::filesystem::path& folder, std::chrono::seconds age);

/// Removes every file: for the start, when nobody receives or imports.
void clear_uploads(const std::filesystem::path& folder);

/// Throws Error (no_space) when fewer than `bytes` (and `space_reserve`) are free where `folder` is. `work`
/// says for what.
void check_free_space(const std::filesystem::path& folder, std::uint64_t bytes, const std::string& work);

} // namespace capsul
