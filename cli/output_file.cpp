#include "cli/output_file.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace capsul::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::array<int, 4> endings{SIGINT, SIGTERM, SIGHUP, SIGQUIT};

/// The file that is being written; for the handler, which may come at any time.
std::array<char, PATH_MAX> unfinished{};

/// Removes it, and lets the signal do what it does.
void clean_up(int signal) {
    ::unlink(unfinished.data());
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL; // NOLINT(*-old-style-cast,*-union-access): so is signal.h
    ::sigaction(signal, &standard, nullptr);
    ::raise(signal);
}

/// As a file that open(2) makes has them: mkstemp(3) gives nobody else any.
mode_t usual_permissions() {
    const mode_t mask = ::umask(0);
    ::umask(mask);
    return 0666 & ~mask;
}

/// Where that can be done: not in every file system, nor in a folder that may be written to only.
void sync_names_in(const fs::path& folder) {
    const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); // NOLINT(*-vararg)
    if (fd && ::fsync(fd.get()) != 0 && errno != EINVAL) {
        throw_errno(errno, folder.string());
    }
}

} // namespace

void refuse_special(const fs::path& file) {
    const fs::file_status status = fs::status(file);
    if (fs::exists(status) && !fs::is_regular_file(status)) {
        throw Error(ErrorCode::invalid, fmt::format("FILE: {}: is not a regular file", file.string()),
                    "- is standard output");
    }
}

OutputFile::OutputFile(fs::path file, bool replace, For readers)
    : file_(std::move(file)), replace_(replace), readers_(readers) {
    refuse_special(file_);
    if (!replace_ && fs::exists(fs::symlink_status(file_))) {
        throw_exists();
    }
    const std::string name = (file_.parent_path() / ("." + file_.filename().string() + ".XXXXXX")).string();
    if (name.size() >= unfinished.size()) {
        throw_errno(ENAMETOOLONG, file_.string());
    }
    std::ranges::copy(name, unfinished.begin());
    unfinished.at(name.size()) = '\0';
    fd_ = UniqueFd(::mkostemp(unfinished.data(), O_CLOEXEC));
    if (!fd_) {
        throw_errno(errno, file_.string());
    }
    writer_.emplace(fd_.get(), file_.string());
    for (std::size_t i = 0; i < endings.size(); ++i) {
        struct sigaction action {};
        action.sa_handler = clean_up; // NOLINT(*-union-access): so is signal.h
        ::sigaction(endings.at(i), &action, &before_.at(i));
        if (before_.at(i).sa_handler == SIG_IGN) { // NOLINT(*-union-access): as above; by nohup(1), say
            ::sigaction(endings.at(i), &before_.at(i), nullptr);
        }
    }
}

OutputFile::~OutputFile() {
    if (fd_) {
        ::unlink(unfinished.data());
    }
    for (std::size_t i = 0; i < endings.size(); ++i) {
        ::sigaction(endings.at(i), &before_.at(i), nullptr);
    }
}

void OutputFile::throw_exists() const {
    throw Error(ErrorCode::exists, fmt::format("FILE: {}: exists already", file_.string()),
                "give another name, or --force to replace it");
}

void OutputFile::finish() {
    writer_->finish();
    const mode_t permissions = readers_ == For::owner ? 0600 : usual_permissions();
    if (::fchmod(fd_.get(), permissions) != 0 || ::fsync(fd_.get()) != 0) {
        throw_errno(errno, file_.string());
    }
    move_into_place();
    fd_.reset();
    sync_names_in(file_.has_parent_path() ? file_.parent_path() : ".");
}

void OutputFile::move_into_place() {
    if (!replace_) {
        if (::renameat2(AT_FDCWD, unfinished.data(), AT_FDCWD, file_.c_str(), RENAME_NOREPLACE) == 0) {
            return;
        }
        if (errno == EEXIST) {
            throw_exists();
        }
        // Not every file system knows how to do that.
    }
    if (::rename(unfinished.data(), file_.c_str()) != 0) {
        throw_errno(errno, file_.string());
    }
}

} // namespace capsul::cli
