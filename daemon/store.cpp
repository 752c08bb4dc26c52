#include "daemon/store.hpp"

#include "lib/fd.hpp"
#include "lib/toml.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <system_error>
#include <unistd.h>

namespace capsul {
namespace {

constexpr std::string_view noun_of(const VmRecord* /*type*/) {
    return "vm";
}
constexpr std::string_view noun_of(const NetworkRecord* /*type*/) {
    return "network";
}
constexpr std::string_view noun_of(const ImageRecord* /*type*/) {
    return "image";
}
constexpr std::string_view noun_of(const AliasRecord* /*type*/) {
    return "image alias";
}

template <class Record>
constexpr std::string_view noun = noun_of(static_cast<const Record*>(nullptr));

/// The noun whose commands deal with it.
template <class Record>
constexpr std::string_view command = noun<Record>.substr(0, noun<Record>.find(' '));

template <class Record>
std::string titled(const Name& name) {
    return fmt::format("{} {}", noun<Record>, name.to_string());
}

std::optional<Name> name_of(std::string_view entry, std::string_view suffix) {
    if (suffix.front() != '/' && !entry.ends_with(suffix)) {
        return std::nullopt;
    }
    try {
        return Name::parse(entry.substr(0, entry.size() - (suffix.front() == '/' ? 0 : suffix.size())));
    } catch (const Error&) {
        return std::nullopt;
    }
}

/// The link because of which no record is seen there, such as to a disk that is not mounted; empty when there
/// is none.
fs::path hiding_link(const fs::path& file, std::string_view suffix) {
    std::error_code unknown;
    for (const fs::path& path : {suffix.front() == '/' ? file.parent_path() : file, file}) {
        if (fs::is_symlink(fs::symlink_status(path, unknown))) {
            return path;
        }
    }
    return {};
}

std::string reason_of(const fs::path& hiding_link) {
    std::error_code unknown;
    return fmt::format("{}: is a link {}: {}", hiding_link.string(),
                       fs::exists(hiding_link, unknown) ? "to where no record is" : "that leads nowhere",
                       fs::read_symlink(hiding_link, unknown).string());
}

bool same_time(const timespec& a, const timespec& b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/// Reads and judges one record file: a broken one is data, not a failure.
template <class Record>
Stored<Record> read_record(const Name& name, const fs::path& file) {
    try {
        auto record = std::make_shared<Record>(load_toml<Record>(file));
        if (record->name != name) {
            throw Error(ErrorCode::invalid,
                        file.string() + ": the name in it is " + record->name.to_string());
        }
        if (record->format != 1) {
            throw Error(ErrorCode::invalid,
                        fmt::format("{}: format {} is of a newer capsul", file.string(), record->format));
        }
        return {name, std::move(record), {}};
    } catch (const Error& error) {
        return {name, nullptr, error.what()};
    }
}

} // namespace

template <class Record>
std::optional<Stored<Record>> Records<Record>::read(const Name& name) {
    struct stat status {};
    if (::stat(file(name).c_str(), &status) != 0) {
        const int number = errno;
        cache_.erase(name);
        if (number != ENOENT && number != ENOTDIR) {
            return Stored<Record>{name, nullptr,
                                  file(name).string() + ": " + std::generic_category().message(number)};
        }
        const fs::path link = hiding_link(file(name), suffix_);
        return link.empty() ? std::optional<Stored<Record>>()
                            : Stored<Record>{name, nullptr, reason_of(link)};
    }
    Cached& cached = cache_[name];
    const bool fresh = cached.inode == status.st_ino && cached.size == status.st_size &&
                       same_time(cached.changed, status.st_ctim);
    if (!fresh) {
        cached = {status.st_ctim, status.st_ino, status.st_size, read_record<Record>(name, file(name))};
    }
    return cached.stored;
}

template <class Record>
std::vector<Stored<Record>> Records<Record>::list() {
    std::vector<Stored<Record>> found;
    const std::lock_guard lock(mutex_);
    std::error_code unreadable;
    fs::directory_iterator entries(folder_, unreadable);
    if (unreadable && unreadable != std::errc::no_such_file_or_directory) {
        throw_errno(unreadable.value(), folder_.string()); // "no records" would be a lie that costs files
    }
    for (const auto& entry : entries) {
        if (const auto name = name_of(entry.path().filename().native(), suffix_)) {
            if (auto stored = read(*name)) {
                found.push_back(std::move(*stored));
            }
        }
    }
    std::ranges::sort(found, {}, &Stored<Record>::name);
    return found;
}

template <class Record>
bool Records<Record>::exists(const Name& name) const {
    std::error_code unknown; // what cannot be looked at is there, and broken
    return fs::status(file(name), unknown).type() != fs::file_type::not_found ||
           !hiding_link(file(name), suffix_).empty();
}

template <class Record>
std::optional<Stored<Record>> Records<Record>::find(const Name& name) {
    const std::lock_guard lock(mutex_);
    return read(name);
}

template <class Record>
Record Records<Record>::load(const Name& name) {
    const auto stored = find(name);
    if (!stored) {
        throw Error(ErrorCode::not_found, titled<Record>(name) + ": does not exist",
                    fmt::format("`capsulctl {} list` shows those there are", command<Record>));
    }
    if (!stored->record) {
        throw Error(ErrorCode::wrong_state,
                    titled<Record>(name) + ": its record cannot be used: " + stored->broken,
                    fmt::format("mend the file, or remove the {}", noun<Record>));
    }
    return *stored->record;
}

template <class Record>
void Records<Record>::save(const Record& record) {
    const fs::path target = file(record.name);
    const std::string text = json_to_toml(encode(record), "capsul " + titled<Record>(record.name));
    if (text.size() > longest_toml) {
        throw Error(ErrorCode::too_large, fmt::format("{}: its record would be longer than {} bytes",
                                                      titled<Record>(record.name), longest_toml));
    }
    make_folders(target.parent_path());
    replace_file(target, text);
}

template <class Record>
void Records<Record>::remove(const Name& name) {
    if (::unlink(file(name).c_str()) != 0) {
        if (errno == ENOENT) {
            return;
        }
        throw_errno(errno, file(name).string());
    }
    sync_folder(file(name).parent_path());
}

template <class Record>
void Records<Record>::forget(const Name& name) {
    const std::lock_guard lock(mutex_);
    cache_.erase(name);
}

template class Records<VmRecord>;
template class Records<ImageRecord>;
template class Records<AliasRecord>;
template class Records<NetworkRecord>;

} // namespace capsul
