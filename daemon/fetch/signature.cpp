#include "daemon/fetch/signature.hpp"

#include "daemon/fetch/gpgv_status.hpp"
#include "daemon/fetch/keyring.hpp"
#include "daemon/process.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <optional>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace capsul::fetch {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_keyring_bytes = std::size_t{16} << 20U;

std::chrono::seconds time_for(const fs::path& file) {
    return std::chrono::seconds(60 + fs::file_size(file) / (std::uintmax_t{16} << 20U)); // of a slow disk
}

/// `rest` are the files, as gpgv takes them. No key but those of `keyring` counts, whatever is in a home.
std::string run_gpgv(const fs::path& keyring, const fs::path& home, const std::vector<std::string>& rest,
                     std::chrono::seconds limit, const SignedThing& thing) {
    std::vector<std::string> argv{"gpgv",        "--homedir", home.string(),   "--keyring", keyring.string(),
                                  "--status-fd", "1",         "--weak-digest", "SHA1"};
    argv.insert(argv.end(), rest.begin(), rest.end());
    const ProcessResult result = run_process(argv, limit);
    return judge_signature(result.out, result.status, result.err, thing);
}

std::string with_name(const fs::path& file, const std::string& message) {
    return message.starts_with(file.string()) ? message : file.string() + ": " + message;
}

/// The keys of an armored keyring; nothing for one that gpgv can read itself. An error is about the keyring
/// and says so, whatever it is needed for.
std::optional<std::string> read_armored(const fs::path& file) {
    try {
        const std::string keys = read_file(file, most_keyring_bytes);
        return is_armored(keys) ? std::optional(without_armor(keys)) : std::nullopt;
    } catch (const Error& error) {
        throw Error(ErrorCode::not_capable, "no keyring: " + with_name(file, error.what()),
                    "install the package or the file that it is");
    }
}

} // namespace

Keyring::Keyring(const fs::path& file, const fs::path& folder)
    : source_(file), folder_(folder), ready_(file) {
    if (const auto keys = read_armored(file)) {
        std::string name = (folder / ".keyring-XXXXXX").string();
        const UniqueFd fd(::mkostemp(name.data(), O_CLOEXEC));
        if (!fd) {
            throw_errno(errno, folder.string());
        }
        ready_ = name;
        write_all(fd.get(), *keys, name);
    }
}

Keyring::~Keyring() {
    std::error_code gone;
    if (ready_ != source_) {
        fs::remove(ready_, gone);
    }
}

std::string Keyring::check_detached(const fs::path& signature, const fs::path& file,
                                    const std::string& name) const {
    return run_gpgv(ready_, folder_, {"--", signature.string(), file.string()}, time_for(file),
                    {name, source_.string()});
}

std::string Keyring::check_clearsigned(const fs::path& file, const fs::path& text,
                                       const std::string& name) const {
    std::error_code gone;
    fs::remove(text, gone);
    return run_gpgv(ready_, folder_, {"--output", text.string(), "--", file.string()}, time_for(file),
                    {name, source_.string()});
}

} // namespace capsul::fetch
