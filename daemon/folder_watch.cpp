#include "daemon/folder_watch.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

namespace capsul {

FolderWatch::FolderWatch()
    : events_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)), stop_(::eventfd(0, EFD_CLOEXEC)) {
    if (!events_ || !stop_) {
        throw_errno(errno, "inotify");
    }
}

void FolderWatch::add(const std::filesystem::path& folder) {
    const std::lock_guard lock(mutex_);
    const int watch = ::inotify_add_watch(events_.get(), folder.c_str(), IN_MOVED_TO | IN_ONLYDIR);
    if (watch < 0) {
        throw_errno(errno, folder.string());
    }
    folders_[watch] = folder;
}

std::set<std::filesystem::path> FolderWatch::wait() {
    std::array<pollfd, 2> waiting{{{events_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    while (true) {
        if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) {
            throw_errno(errno, "inotify");
        }
        if (waiting[1].revents != 0) {
            return {};
        }
        auto changed = read_events();
        if (!changed.empty()) {
            return changed;
        }
    }
}

std::set<std::filesystem::path> FolderWatch::read_events() {
    alignas(inotify_event) std::array<char, 4096> buffer{};
    std::set<std::filesystem::path> changed;
    const ssize_t size = ::read(events_.get(), buffer.data(), buffer.size());
    const std::lock_guard lock(mutex_);
    for (ssize_t at = 0; at < size;) {
        inotify_event event{};
        std::memcpy(&event, buffer.data() + at, sizeof event);
        at += static_cast<ssize_t>(sizeof event + event.len);
        if ((event.mask & IN_Q_OVERFLOW) != 0) { // of which ones is lost
            std::ranges::transform(folders_, std::inserter(changed, changed.end()),
                                   [](const auto& one) { return one.second; });
            continue;
        }
        const auto folder = folders_.find(event.wd);
        if (folder == folders_.end()) {
            continue;
        }
        if ((event.mask & IN_IGNORED) != 0) {
            folders_.erase(folder); // it was removed
        } else {
            changed.insert(folder->second);
        }
    }
    return changed;
}

bool FolderWatch::rest(std::chrono::milliseconds time) {
    pollfd waiting{stop_.get(), POLLIN, 0};
    return ::poll(&waiting, 1, static_cast<int>(time.count())) <= 0;
}

void FolderWatch::stop() {
    const std::uint64_t one = 1;
    static_cast<void>(::write(stop_.get(), &one, sizeof one) < 0);
}

} // namespace capsul
