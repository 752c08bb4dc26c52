// Files that the caller names: opened here, for the daemon takes content, never a path.
#pragma once

#include "lib/fd.hpp"
#include "lib/vm.hpp"

#include <string>
#include <vector>

namespace capsul::cli {

/// The text of a file, or of standard input for "-". Throws Error (invalid, too_large) naming `option` (if
/// not empty) and the file; never blocks on a FIFO, never reads a directory or device.
[[nodiscard]] std::string read_input(const char* option, const std::string& path, std::size_t limit);

/// A file to be streamed, or standard input for "-"; the same errors.
[[nodiscard]] UniqueFd open_input(const char* option, const std::string& path);

/// All of `fd`, at most `limit` bytes.
[[nodiscard]] std::string read_stream(int fd, const std::string& what, std::size_t limit);

/// The keys in these files; a private key is refused before its content goes anywhere.
[[nodiscard]] std::vector<SshKey> read_ssh_keys(const std::vector<std::string>& files);

/// Those that there are of the names that ssh-keygen(1) gives: ~/.ssh/id_ed25519.pub, id_ed25519_sk.pub,
/// id_ecdsa.pub, id_ecdsa_sk.pub, id_rsa.pub.
[[nodiscard]] std::vector<std::string> default_ssh_key_files();

} // namespace capsul::cli
