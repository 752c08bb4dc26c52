#include "daemon/file_digest.hpp"

#include "daemon/digest.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <cerrno>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>

namespace capsul {

std::string sha256_of_file(const std::filesystem::path& file,
                           const std::function<void(std::uint64_t)>& on_read) {
    const UniqueFd fd = open_file(file, O_RDONLY | O_NOFOLLOW);
    Hash hash(Hash::Kind::sha256);
    std::string piece(std::size_t{1} << 20U, '\0');
    std::uint64_t done = 0;
    while (true) {
        const ssize_t got = ::read(fd.get(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            throw_errno(errno, file.string());
        }
        if (got == 0) {
            return hash.finish();
        }
        hash.add(std::string_view(piece).substr(0, static_cast<std::size_t>(got)));
        on_read(done += static_cast<std::uint64_t>(got));
    }
}

} // namespace capsul
