// capsul-unpack compressed|ova|backup-manifest FILE TARGET MOST: writes the disk that is in FILE, or the
// manifest of a backup, to TARGET, which is there and empty, at most MOST bytes.
// capsul-unpack backup FILE [NAME SIZE TARGET]...: writes the members of a backup. When that fails, the lines
// of standard error are the code, the message and the hint of an Error. Runs in a sandbox; capsuld does not
// trust what it says.
#include "daemon/unpack/backup.hpp"
#include "daemon/unpack/compressed_disk.hpp"
#include "daemon/unpack/ova.hpp"
#include "lib/error.hpp"

#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace capsul::unpack {
namespace {

[[noreturn]] void refuse_arguments() {
    throw Error(ErrorCode::internal,
                "usage: capsul-unpack compressed|ova|backup-manifest FILE TARGET MOST, or "
                "capsul-unpack backup FILE [NAME SIZE TARGET]...");
}

std::uint64_t parse_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) {
        refuse_arguments();
    }
    return number;
}

std::vector<WantedMember> members_of(const std::vector<std::string>& words) {
    constexpr std::size_t first = 2;
    if (words.size() < first || (words.size() - first) % 3 != 0) {
        refuse_arguments();
    }
    std::vector<WantedMember> members;
    for (std::size_t i = first; i < words.size(); i += 3) {
        members.push_back({words[i], parse_number(words[i + 1]), words[i + 2]});
    }
    return members;
}

void run(const std::vector<std::string>& words) {
    if (!words.empty() && words[0] == "backup") {
        const std::vector<WantedMember> members = members_of(words);
        unpack_backup(words[1], members);
        return;
    }
    if (words.size() != 4) {
        refuse_arguments();
    }
    const std::uint64_t most = parse_number(words[3]);
    if (words[0] == "compressed") {
        unpack_compressed(words[1], words[2], most);
    } else if (words[0] == "ova") {
        unpack_ova(words[1], words[2], most);
    } else if (words[0] == "backup-manifest") {
        unpack_backup_manifest(words[1], words[2], most);
    } else {
        refuse_arguments();
    }
}

void report(const Error& error) {
    std::fprintf(stderr, "%s\n%s\n%s\n", std::string(to_string(error.code())).c_str(), error.what(), // NOLINT
                 error.hint().c_str());
}

} // namespace
} // namespace capsul::unpack

int main(int argc, char** argv) {
    try {
        capsul::unpack::run({argv + 1, argv + argc});
        return 0;
    } catch (const capsul::Error& error) {
        capsul::unpack::report(error);
    } catch (const std::exception& error) {
        capsul::unpack::report({capsul::ErrorCode::internal, error.what()});
    }
    return 1;
}
