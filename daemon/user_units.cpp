#include "daemon/user_units.hpp"

#include "daemon/unit_file.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <cerrno>
#include <fmt/format.h>
#include <system_error>
#include <unistd.h>

namespace capsul {

void remove_whole(const fs::path& path) {
    std::error_code failure;
    fs::remove_all(path, failure);
    if (failure) {
        throw_errno(failure.value(), path.string());
    }
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
    if (enabled) {
        make_folders(wants_, 0755);
        if (::symlink(file(unit).c_str(), link.c_str()) == 0) {
            sync_folder(wants_);
            return true;
        }
    } else if (::unlink(link.c_str()) == 0) {
        sync_folder(wants_);
        return true;
    }
    if (errno != (enabled ? EEXIST : ENOENT)) {
        throw_errno(errno, link.string());
    }
    return false;
}

Written UserUnits::write(const std::string& unit, const std::string& text) const {
    make_folders(folder_, 0755);
    return refresh_file(file(unit), text, 0644);
}

void UserUnits::remove(const std::string& unit) const {
    set_enabled(unit, false);
    remove_whole(file(unit));
    remove_whole(file(unit).string() + ".d");
    if (fs::exists(folder_)) {
        sync_folder(folder_);
    }
}

} // namespace capsul
