// capsul-unpack compressed|ova FILE TARGET MOST: writes the disk that is in FILE to TARGET, which is there
// and empty, at most MOST bytes. When that fails, the lines of standard error are the code, the message and
// the hint of an Error. Runs in a sandbox; capsuld does not trust what it says.
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
    throw Error(ErrorCode::internal, "usage: capsul-unpack compressed|ova FILE TARGET MOST");
}

std::uint64_t parse_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) {
        refuse_arguments();
    }
    return number;
}

void run(const std::vector<std::string>& words) {
    if (words.size() != 4) {
        refuse_arguments();
    }
    const std::uint64_t most = parse_number(words[3]);
    if (words[0] == "compressed") {
        unpack_compressed(words[1], words[2], most);
    } else if (words[0] == "ova") {
        unpack_ova(words[1], words[2], most);
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
