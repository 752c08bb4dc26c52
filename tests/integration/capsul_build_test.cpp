// What capsul-build, the script, takes from the namespace that it has built in.
#include "daemon/process.hpp"
#include "lib/fd.hpp"
#include "lib/paths.hpp"
#include "tests/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class CapsulBuildTest : public testing::Test {
  protected:
    CapsulBuildTest() {
        make_folders(folder_ / "output");
        make_folders(folder_ / "secret");
        replace_file(folder_ / "secret/disk.qcow2", "what only the user may read");
        make_folders(folder_ / "programs");
        std::string script =
            read_file(fs::path(__FILE__).parent_path() / "../../daemon/builder/capsul-build");
        set(script, "PATH", (folder_ / "programs").string() + ":/usr/sbin:/usr/bin:/sbin:/bin");
        set(script, "KEYRING", (folder_ / "secret/disk.qcow2").string()); // there has to be one
        replace_file(folder_ / "capsul-build", script, 0755);
    }

    /// `behaviour` is what happens in the namespace, whose folder for the results is $results.
    ProcessResult build(const std::string& behaviour) {
        replace_file(folder_ / "programs/mmdebstrap",
                     "#!/bin/sh\ncat >/dev/null\nresults=$CAPSUL_BUILD_WORK/results secret=" +
                         (folder_ / "secret").string() + "\n" + behaviour + "\n",
                     0755);
        fs::remove_all(folder_ / "scratch");
        return run_process({(folder_ / "capsul-build").string(), "build", "--output",
                            (folder_ / "output").string(), "--scratch", (folder_ / "scratch").string(),
                            "--boot", "loader", "--size", "2147483648", "--release", "bookworm", "--mirror",
                            "http://localhost/debian", "--security-mirror", "http://localhost/security"},
                           60s);
    }

    const test::TemporaryFolder folder_;

  private:
    /// The first assignment to a variable.
    static void set(std::string& script, const std::string& name, const std::string& value) {
        const std::size_t begin = script.find("\n" + name + "=");
        ASSERT_NE(begin, std::string::npos);
        script.replace(begin, script.find('\n', begin + 1) - begin, "\n" + name + "=" + value);
    }
};

TEST_F(CapsulBuildTest, TakesTheDiskThatWasMade) {
    const ProcessResult result = build("mkdir \"$results\" && echo disk >\"$results/disk.qcow2\"");
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(read_file(folder_ / "output/disk.qcow2"), "disk\n");
}

TEST_F(CapsulBuildTest, FollowsNoLinkToAFileOfTheUsers) {
    for (const char* const trick :
         {"ln -s \"$secret\" \"$results\"",
          "mkdir \"$results\" && ln -s \"$secret/disk.qcow2\" \"$results/disk.qcow2\""}) {
        const ProcessResult result = build(trick);
        EXPECT_NE(result.status, 0) << trick;
        std::error_code none;
        const auto taken = fs::file_size(folder_ / "output/disk.qcow2", none);
        EXPECT_TRUE(none || taken == 0) << trick;
    }
    EXPECT_THAT(build("ln -s \"$secret\" \"$results\"").err, HasSubstr("results: is a link"));
}

} // namespace
} // namespace capsul
