// A Unix socket with a JSON-speaking peer whose every byte is suspect: each operation has a deadline, each
// message a size and a depth. What QMP and the guest agent have in common.
#pragma once

#include "lib/fd.hpp"
#include "lib/fields.hpp"

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace capsul {

using Deadline = std::chrono::steady_clock::time_point;
/// Asked at least every quarter of a second by a wait that has it; true ends the wait with an Error
/// (unreachable).
using Cancelled = std::function<bool()>;

/// Milliseconds until `deadline` as poll(2) takes them: rounded up, 0 when it has passed.
[[nodiscard]] int poll_timeout(Deadline deadline);

/// A non-blocking connected socket. Throws Error: unreachable (nobody listens), timeout (its queue stays
/// full), denied.
[[nodiscard]] UniqueFd connect_peer(const std::filesystem::path& path, Deadline deadline);

/// Writes all of `data`; throws Error: timeout, unreachable. After either a part may have been sent. A
/// `descriptor` goes with it (SCM_RIGHTS, unix(7)).
void write_peer(int fd, std::string_view data, Deadline deadline, const std::string& what,
                const Cancelled& cancelled = {}, int descriptor = -1);

/// Waits for bytes and appends what is there (at most 64 KiB) to `buffer`; false at the end of the stream.
/// Throws Error: timeout, unreachable.
[[nodiscard]] bool read_peer(int fd, std::string& buffer, Deadline deadline, const std::string& what,
                             const Cancelled& cancelled = {});

/// JSON nested at most 32 deep. Throws Error: internal, naming `what`.
[[nodiscard]] Json parse_peer(std::string_view text, const std::string& what);

/// A peer's words made fit for a message: printable ASCII, at most 300 characters.
[[nodiscard]] std::string quote_peer(std::string_view words);

/// `object[key]` when it is a string, made printable; else empty.
[[nodiscard]] std::string peer_words(const Json& object, const char* key);

} // namespace capsul
