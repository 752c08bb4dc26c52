#include "cli/transfer.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <sys/stat.h>

namespace capsul::cli {
namespace {

/// The size that sending can be measured against; nothing for a pipe.
std::optional<std::uint64_t> known_size(int fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size <= 0) {
        return std::nullopt;
    }
    return static_cast<std::uint64_t>(status.st_size);
}

} // namespace

Uuid send_file(Session& session, const std::string& subject, const UniqueFd& file, const std::string& what,
               const UploadFile& call) {
    const auto size = known_size(file.get());
    const auto tell = [&](std::uint64_t sent) {
        const auto percent =
            size ? std::optional(static_cast<int>(100 * std::min(sent, *size) / *size)) : std::nullopt;
        const std::string of = size ? " of " + human_size(*size) : "";
        session.progress().show(subject, fmt::format("sending the {}, {}{}", what, human_size(sent), of),
                                percent);
    };
    session.progress().show(subject, fmt::format("sending the {}", what), std::nullopt);
    const Upload received = session.client().upload(call, file.get(), tell);
    session.progress().clear();
    return received.id;
}

void receive_file(Session& session, const std::string& subject, const Download& download,
                  const Client::Sink& write) {
    std::uint64_t received = 0;
    session.client().download(DownloadFile{download.id}, [&](std::string_view piece) {
        received += piece.size();
        session.progress().show(
            subject, fmt::format("receiving, {} of {}", human_size(received), human_size(download.size)),
            static_cast<int>(100 * std::min(received, download.size) /
                             std::max<std::uint64_t>(download.size, 1)));
        return write(piece);
    });
    session.progress().clear();
}

} // namespace capsul::cli
