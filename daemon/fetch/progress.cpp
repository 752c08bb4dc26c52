#include "daemon/fetch/progress.hpp"

#include "lib/fd.hpp"
#include "lib/json.hpp"

#include <cstdio>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>

namespace capsul::fetch {
namespace {

constexpr std::chrono::milliseconds at_most_every{500};

} // namespace

void Progress::tell(FetchPhase phase, std::uint64_t bytes, std::optional<std::uint64_t> total, int attempt) {
    write({phase, bytes, total, attempt, {}});
}

void Progress::tell_wait(const std::string& why, std::uint64_t bytes, std::optional<std::uint64_t> total,
                         int attempt) {
    write({FetchPhase::waiting, bytes, total, attempt, why});
}

void Progress::write(const FetchProgress& progress) {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (now < written_ + at_most_every && progress.phase == phase_) {
        return;
    }
    written_ = now;
    phase_ = progress.phase;
    // Not replace_file: it waits for the disk, and of this nothing needs to survive a power cut.
    const std::filesystem::path temporary = file_.parent_path() / ".progress";
    try {
        const UniqueFd fd = open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
        write_all(fd.get(), dump_json(encode(progress)) + "\n", temporary.string());
    } catch (const Error&) {
        return; // see above
    }
    ::rename(temporary.c_str(), file_.c_str());
}

Progress::~Progress() {
    std::error_code gone;
    std::filesystem::remove(file_, gone);
}

} // namespace capsul::fetch
