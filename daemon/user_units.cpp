#include "daemon/user_units.hpp"

#include "daemon/unit_file.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <cerrno>
#include <fmt/format.h>
#include <system_error>
#include <unistd.h>

namespace capsul {

bool update_file(const fs::path& file, const std::string& wanted) {
    std::error_code missing;
    if (fs::file_size(file, missing) == wanted.size() && !missing &&
        read_file(file, wanted.size()) == wanted) {
        return false;
    }
    replace_file(file, wanted);
    return true;
}

bool remove_whole(const fs::path& path) {
    std::error_code failure;
    const auto removed = fs::remove_all(path, failure);
    if (failure) {
        throw_errno(failure.value(), path.string());
    }
    return removed > 0;
}

Written refresh_file(const fs::path& file, const std::string& wanted, unsigned mode) {
    if (!fs::exists(file)) {
        make_folders(file.parent_path());
        replace_file(file, wanted, mode);
        return Written::created;
    }
    const std::string present = read_file(file);
    if (present == wanted || check_seal(present) == SealState::edited) {
        return Written::unchanged;
    }
    replace_file(file, wanted, mode);
    return Written::changed;
}

bool UserUnits::set_enabled(const std::string& unit, bool enabled) const {
    const fs::path link = wants_link(unit);
    if (fs::exists(fs::symlink_status(link))) {
        return set_link_that_is_there(unit, enabled);
    }
    if (!enabled) {
        return false;
    }
    make_folders(wants_, 0755);
    if (::symlink(file(unit).c_str(), link.c_str()) != 0) {
        throw_errno(errno, link.string());
    }
    sync_folder(wants_);
    return true;
}

bool UserUnits::set_link_that_is_there(const std::string& unit, bool enabled) const {
    const fs::path link = wants_link(unit);
    std::error_code failure;
    const fs::path target = fs::read_symlink(link, failure);
    const bool is_ours =
        target.filename() == unit && fs::equivalent(wants_ / target.parent_path(), folder_, failure);
    if (!is_ours && enabled) {
        throw Error(ErrorCode::exists, link.string() + " is there already, and not capsul's", "remove it");
    }
    if (!is_ours || enabled) {
        return false;
    }
    if (::unlink(link.c_str()) != 0) {
        throw_errno(errno, link.string());
    }
    sync_folder(wants_);
    return true;
}

void UserUnits::require_free(const std::string& unit) const {
    const fs::path path = file(unit);
    const fs::file_status found = fs::symlink_status(path);
    if (fs::exists(found) &&
        !(fs::is_regular_file(found) && check_seal(read_file(path)) == SealState::whole)) {
        throw Error(ErrorCode::exists, path.string() + " is there already, and not capsul's",
                    "remove it, or choose another name");
    }
}

void UserUnits::require_unmasked(const std::string& unit) const {
    const fs::path path = file(unit);
    if (fs::exists(path) && !fs::is_regular_file(path)) {
        throw Error(ErrorCode::wrong_state,
                    fmt::format("{} is masked: {} is not a regular file", unit, path.string()),
                    fmt::format("`systemctl --user unmask {}`; the next start writes the unit anew", unit));
    }
}

Written UserUnits::write(const std::string& unit, const std::string& text) const {
    make_folders(folder_, 0755);
    return refresh_file(file(unit), text, 0644);
}

void UserUnits::remove(const std::string& unit) const {
    set_enabled(unit, false);
    const bool had_file = remove_whole(file(unit));
    const bool had_drop_ins = remove_whole(file(unit).string() + ".d");
    if (had_file || had_drop_ins) {
        sync_folder(folder_);
    }
}

void UserUnits::sweep() const {
    remove_half_written(folder_, [](std::string_view unit) {
        return unit.starts_with("capsul-") && (unit.ends_with(".service") || unit.ends_with(".socket"));
    });
}

void UserUnits::take_down(SystemdClient& systemd, const std::string& unit,
                          std::chrono::milliseconds limit) const {
    if (fs::exists(fs::symlink_status(file(unit)))) {
        systemd.take_down(unit, limit);
    }
}

} // namespace capsul
