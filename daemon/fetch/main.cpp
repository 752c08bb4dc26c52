// capsul-fetch disk: downloads a disk image and verifies it. capsul-fetch catalogue: gets, verifies and reads
// what the sources of images publish. Neither has any privilege: they know a folder and the
// network, and capsuld, which knows all else, does not know the network.
#include "daemon/fetch/catalogue.hpp"
#include "daemon/fetch/disk.hpp"
#include "daemon/fetch/fetch_lock.hpp"
#include "daemon/fetch/options.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"

#include <cstdio>
#include <exception>
#include <functional>
#include <stdexcept>
#include <system_error>
#include <vector>

namespace capsul::fetch {
namespace {

namespace fs = std::filesystem;

template <class Request>
Request read_request(const fs::path& folder) {
    return parse<Request>(read_file(folder / fetch_request_file, most_fetch_bytes));
}

template <class Result>
void write_result(const fs::path& folder, const Result& result) {
    replace_file(folder / fetch_result_file, dump_json(encode(result), 1) + "\n");
}

/// Runs `work`, which returns a Result, and writes that down, or the error that ended it. The exit code.
template <class Result>
int run_and_tell(const fs::path& folder, const std::function<Result()>& work) {
    Result result;
    int code = 0;
    const auto fail = [&](const Error& error) {
        std::fprintf(stderr, "capsul-fetch: %s\n", error.what());
        result.error = FetchError::of(error);
        code = exit_code(error.code());
    };
    try {
        result = work();
    } catch (const Error& error) {
        fail(error);
    } catch (const std::exception& error) {
        fail(Error(ErrorCode::internal, error.what()));
    }
    write_result(folder, result);
    return code;
}

/// Removes what an earlier run was writing when it was killed, and its result.
void sweep(const fs::path& folder) {
    std::vector<fs::path> left{folder / fetch_result_file};
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        if (entry.path().filename().string().starts_with('.')) {
            left.push_back(entry.path());
        }
    }
    std::error_code gone;
    for (const fs::path& file : left) {
        fs::remove(file, gone);
    }
}

int run(const Options& options) {
    const fs::path& folder = options.folder;
    const FetchLock lock(folder);
    sweep(folder);
    if (options.command == Options::Command::catalogue) {
        return run_and_tell<CatalogueResult>(folder, [&] {
            return CatalogueResult{{}, fetch_catalogue(folder, read_request<CatalogueRequest>(folder))};
        });
    }
    return run_and_tell<DiskResult>(folder, [&] {
        return DiskResult{{}, fetch_disk(folder, read_request<DiskRequest>(folder))};
    });
}

int run_or_explain(const std::vector<std::string>& words) {
    try {
        return run(parse_options(words));
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "capsul-fetch: %s\n%s", error.what(), usage);
        return exit_code(ErrorCode::invalid);
    } catch (const Error& error) {
        std::fprintf(stderr, "capsul-fetch: %s\n", error.what());
        return exit_code(error.code());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "capsul-fetch: %s\n", error.what());
        return exit_code(ErrorCode::internal);
    }
}

} // namespace
} // namespace capsul::fetch

int main(int argc, char** argv) {
    return capsul::fetch::run_or_explain({argv + (argc > 0 ? 1 : 0), argv + argc});
}
