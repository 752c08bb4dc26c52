// data.part: the beginning of a file that is being downloaded, and data.json: what is known of the whole, so
// that its download goes on after whatever has ended it.
#pragma once

#include "daemon/digest.hpp"
#include "daemon/fetch/answer.hpp"
#include "daemon/fetch/progress.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace capsul::fetch {

/// What a server has told of a file.
struct RemoteFile {
    Url url;      ///< that was asked
    Url location; ///< that has answered
    std::string etag;
    std::string last_modified;
    std::optional<Timestamp> modified;
    std::optional<std::uint64_t> length;
    bool complete = false; ///< all of it is here

    static constexpr auto fields() {
        return field_list(
            required("url", &RemoteFile::url), required("location", &RemoteFile::location),
            required("etag", &RemoteFile::etag), required("last_modified", &RemoteFile::last_modified),
            optional("modified", &RemoteFile::modified), optional("length", &RemoteFile::length),
            required("complete", &RemoteFile::complete));
    }
};

/// Before a server was asked.
[[nodiscard]] RemoteFile unknown_file(const Url& url);
[[nodiscard]] RemoteFile remote_file(const Url& asked, const Head& head);

/// Both digests of the same bytes.
struct FileHash {
    Hash sha256{Hash::Kind::sha256};
    Hash sha512{Hash::Kind::sha512};
    void add(std::string_view data) {
        sha256.add(data);
        sha512.add(data);
    }
};

class PartFile {
  public:
    /// With what is there of `url` already, which is read once: its digest goes on too. Throws Error.
    PartFile(const std::filesystem::path& folder, const Url& url, Progress& progress);

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    [[nodiscard]] const RemoteFile& remote() const noexcept { return remote_; }
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    [[nodiscard]] bool is_complete() const noexcept { return remote_.complete; }
    /// Whether a part is there, and can be told from one of another file.
    [[nodiscard]] bool can_go_on() const;
    /// Whether an earlier run has left some of it.
    [[nodiscard]] bool was_left() const noexcept { return was_left_; }

    /// Empties it, for a file of which this is known.
    void begin_again(RemoteFile remote);
    /// The same file has told how long it is.
    void learn_length(std::uint64_t length);
    void append(std::string_view data);
    /// All of it is here, and on the disk.
    void finish();
    /// Removes all of it.
    void discard();
    /// The digests; call once, at the end.
    [[nodiscard]] FileHash take_hash() { return std::move(hash_); }

  private:
    void adopt(Progress& progress);
    void write_remote() const;

    std::filesystem::path path_;
    std::filesystem::path remote_path_;
    RemoteFile remote_;
    UniqueFd fd_;
    std::uint64_t size_ = 0;
    bool was_left_ = false;
    FileHash hash_;
};

} // namespace capsul::fetch
