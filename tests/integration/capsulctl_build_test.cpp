// What capsulctl makes of the words of `image build`.
#include "tests/integration/capsulctl_fixture.hpp"

#include "lib/image_build.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>

namespace capsul::test {
namespace {

using testing::HasSubstr;

class CapsulctlBuild : public testing::Test {
  protected:
    CapsulctlBuild() {
        daemon.add_work<ImageBuild>([this](const ImageBuild& call) {
            const std::lock_guard lock(mutex_);
            asked_ = call;
            Image image;
            image.name = call.name;
            return image;
        });
        daemon.serve();
    }
    ~CapsulctlBuild() override { daemon.stop(); }

    ImageBuild asked() {
        const std::lock_guard lock(mutex_);
        return asked_;
    }

    MadeUpDaemon daemon;

  private:
    std::mutex mutex_;
    ImageBuild asked_;
};

TEST_F(CapsulctlBuild, AsksForABootLoaderAndDebiansOwnMirrorWhenNobodySays) {
    const Outcome outcome = run_capsulctl(daemon, {"image", "build", "base"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("debian bookworm"));
    EXPECT_THAT(outcome.out, HasSubstr("base"));
    EXPECT_EQ(asked().boot, BootForm::loader);
    EXPECT_EQ(asked().release, DebianRelease::bookworm);
    EXPECT_EQ(asked().size, Bytes::parse("3G"));
    EXPECT_EQ(asked().mirror.to_string(), "http://deb.debian.org/debian");
    EXPECT_TRUE(asked().include.empty());
    EXPECT_FALSE(asked().architecture);
}

TEST_F(CapsulctlBuild, PassesOnAllThatWasAsked) {
    const Outcome outcome = run_capsulctl(daemon, {"image",
                                                   "build",
                                                   "web",
                                                   "--include",
                                                   "nginx,g++",
                                                   "--include",
                                                   "tree",
                                                   "--size",
                                                   "8G",
                                                   "--boot",
                                                   "direct",
                                                   "--arch",
                                                   "amd64",
                                                   "--distro",
                                                   "debian",
                                                   "--release",
                                                   "trixie",
                                                   "--mirror",
                                                   "http://mirror.lan/debian",
                                                   "--security-mirror",
                                                   "https://mirror.lan/security",
                                                   "-q"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, "web\n");
    std::vector<std::string> packages;
    for (const PackageName& package : asked().include) {
        packages.push_back(package.to_string());
    }
    EXPECT_THAT(packages, testing::ElementsAre("nginx", "g++", "tree"));
    EXPECT_EQ(asked().size, Bytes::parse("8G"));
    EXPECT_EQ(asked().boot, BootForm::direct);
    EXPECT_EQ(asked().architecture, Architecture::x86_64);
    EXPECT_EQ(asked().release, DebianRelease::trixie);
    EXPECT_EQ(asked().mirror.to_string(), "http://mirror.lan/debian");
    EXPECT_EQ(asked().security_mirror.to_string(), "https://mirror.lan/security");
}

TEST_F(CapsulctlBuild, RefusesBadWordsBeforeItAsks) {
    for (const auto& [option, value] :
         std::vector<std::pair<std::string, std::string>>{{"--include", "nginx;id"},
                                                          {"--include", "nginx,,tree"},
                                                          {"--include", "nginx,"},
                                                          {"--include", "-y"},
                                                          {"--include", ""},
                                                          {"--release", "slink"},
                                                          {"--distro", "arch"},
                                                          {"--arch", "pdp11"},
                                                          {"--size", "big"},
                                                          {"--boot", "floppy"},
                                                          {"--mirror", "http://a b/"},
                                                          {"--mirror", "ftp://mirror.lan/debian"}}) {
        const Outcome outcome = run_capsulctl(daemon, {"image", "build", "web", option, value});
        EXPECT_EQ(outcome.code, 2) << option << " " << value;
        EXPECT_THAT(outcome.err, HasSubstr(option)) << outcome.err;
    }
    EXPECT_EQ(run_capsulctl(daemon, {"image", "build"}).code, 2);
    EXPECT_EQ(run_capsulctl(daemon, {"image", "build", "Web"}).code, 2);
    EXPECT_EQ(daemon.calls, 0);
}

} // namespace
} // namespace capsul::test
