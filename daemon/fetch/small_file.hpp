// Gets a small file whole, and keeps it with what is known of it: asked again, the server sends it only if it
// has changed.
#pragma once

#include "daemon/fetch/part_file.hpp"
#include "daemon/fetch/progress.hpp"
#include "daemon/fetch/transfer.hpp"

#include <cstdint>
#include <filesystem>
#include <string>

namespace capsul::fetch {

struct SmallFile {
    RemoteFile remote;
    std::string content;
    std::uint64_t fetched = 0; ///< bytes that servers have sent
    bool unchanged = false;    ///< since it was fetched last
};

/// How it is fetched.
struct SmallFetch {
    TransferLimits limits;
    FetchPatience patience;
    Progress& progress;
};

/// Gets `url`, at most `most` bytes of it, into `file`; beside it, FILE.json is what is known of it. Throws
/// Error (too_large and all of a transfer); then `file` is as it was.
[[nodiscard]] SmallFile fetch_small(const Url& url, const std::filesystem::path& file, Bytes most,
                                    const SmallFetch& how);

/// The same of a signature, without which something does not count: that there is none is an Error
/// (verification). The bytes that servers have sent.
[[nodiscard]] std::uint64_t fetch_signature(const Url& url, const std::filesystem::path& file,
                                            const SmallFetch& how);

/// Removes both.
void forget_small(const std::filesystem::path& file);

} // namespace capsul::fetch
