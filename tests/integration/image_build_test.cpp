// Builds of images over a fake systemd, with a capsul-build that does what the test says.
#include "daemon/image_build.hpp"

#include "daemon/build_needs.hpp"
#include "tests/integration/image_fixture.hpp"

namespace capsul {
namespace {

class ImageBuildTest : public ImageServiceTest {
  protected:
    void SetUp() override {
        try {
            require_build_needs();
        } catch (const Error& error) {
            GTEST_SKIP() << error.what() << "; " << error.hint();
        }
        ImageServiceTest::SetUp();
        make_filled_disk("built.qcow2", 100'000);
        std::string kernel(4096, '\0');
        kernel.replace(0x202, 4, "HdrS");
        std::ofstream(work_ / "kernel", std::ios::binary) << kernel;
        std::ofstream(work_ / "initrd") << "0707010000initrd";
        replace_file(base_ / "programs/capsul-build", fmt::format(script, work_.string()), 0755);
        behave("cp \"$work/built.qcow2\" \"$output/disk.qcow2\"");
        make_service();
    }
    void TearDown() override {
        if (IsSkipped()) {
            return;
        }
        builds_.reset();
        builder_.reset();
        EXPECT_EQ(left(), std::set<std::string>()) << "something of a build is left";
        ImageServiceTest::TearDown();
    }

    void make_service() {
        make_folders(base_ / "scratch");
        builder_.emplace(paths_, base_ / "programs", *client_, base_ / "scratch");
        builds_.emplace(config_, *operations_, *service_, *builder_);
    }

    /// What the build does, once it has made its scratch folder.
    void behave(const std::string& commands) { replace_file(work_ / "behaviour", commands + "\n"); }

    static ImageBuild call(const char* name) {
        ImageBuild build;
        build.name = Name::parse(name);
        build.size = Bytes::parse("2G");
        return build;
    }

    Image built(const ImageBuild& build) {
        const Operation operation = finished(builds_->build(build));
        if (operation.error) {
            throw operation.error->to_error();
        }
        return decode<Image>(*operation.result);
    }

    Error refusal(const ImageBuild& build) {
        try {
            static_cast<void>(built(build));
        } catch (const Error& error) {
            return error;
        }
        ADD_FAILURE() << "it was built";
        return {ErrorCode::internal, ""};
    }

    /// Folders and units of builds.
    std::set<std::string> left() const {
        std::set<std::string> files;
        for (const fs::path& folder : {paths_.units, paths_.builds(), base_ / "scratch"}) {
            std::error_code none;
            for (const auto& entry : fs::directory_iterator(folder, none)) {
                files.insert(entry.path().filename().string());
            }
        }
        return files;
    }

    void wait_for(const fs::path& file) {
        for (int round = 0; round < 6000 && !fs::exists(file); ++round) {
            std::this_thread::sleep_for(5ms);
        }
        ASSERT_TRUE(fs::exists(file)) << "the build does not begin";
    }

    static constexpr const char* script = R"(#!/bin/sh
set -eu
work={}
case $1 in remove) rm -rf "$2"; exit ;; esac
printf '%s\n' "$@" >"$work/arguments"
while [ "$1" != --security-mirror ]; do
    case $1 in --output) output=$2 ;; --scratch) scratch=$2 ;; esac
    shift
done
mkdir "$scratch"
touch "$scratch/rubbish"
. "$work/behaviour"
)";
    std::optional<ImageBuilder> builder_;
    std::optional<ImageBuildService> builds_;
};

TEST_F(ImageBuildTest, MakesAnImageThatSaysWhatItWasBuiltFrom) {
    const Image image = built(call("base"));
    EXPECT_EQ(image.name, Name::parse("base"));
    EXPECT_FALSE(image.boot);
    EXPECT_EQ(slurp(service_->disk_path(*image.digest)), slurp(work_ / "built.qcow2"));
    EXPECT_EQ(image.origin->built_from, "debian bookworm");
    EXPECT_EQ(image.origin->url, "http://deb.debian.org/debian");
    EXPECT_EQ(image.origin->verified, Verification::signature);
    EXPECT_EQ(image.origin->version.to_string().size(), std::string("20261122").size());
    EXPECT_FALSE(fs::exists(builder_->log(image.name)));
}

TEST_F(ImageBuildTest, TellsTheBuildAllThatWasAsked) {
    ImageBuild build = call("web");
    build.include = {PackageName::parse("nginx"), PackageName::parse("g++")};
    build.mirror = Url::parse("http://mirror.lan/$HOME/100%25");
    static_cast<void>(built(build));
    const std::string arguments = slurp(work_ / "arguments");
    EXPECT_NE(arguments.find("--boot\nloader\n--size\n2147483648\n--release\nbookworm\n--mirror\n"
                             "http://mirror.lan/$HOME/100%25\n--security-mirror\n"
                             "http://deb.debian.org/debian-security\nnginx\ng++\n"),
              std::string::npos)
        << arguments;
}

TEST_F(ImageBuildTest, TakesTheKernelOfADirectBoot) {
    ImageBuild build = call("quick");
    build.boot = BootForm::direct;
    behave(
        "cp \"$work/built.qcow2\" \"$output/disk.qcow2\"; cp \"$work/kernel\" \"$work/initrd\" \"$output\"\n"
        "echo 'root=LABEL=root quiet' >\"$output/cmdline\"");
    const Image image = built(build);
    ASSERT_TRUE(image.boot);
    EXPECT_EQ(image.boot->cmdline, "root=LABEL=root quiet");
    EXPECT_EQ(slurp(service_->kernel_path(image.boot->kernel)), slurp(work_ / "kernel"));
    EXPECT_EQ(slurp(service_->initrd_path(*image.boot->initrd)), slurp(work_ / "initrd"));
}

TEST_F(ImageBuildTest, SaysWhyABuildFailedAndKeepsItsLog) {
    behave("echo 'Reading package lists...' >&2; echo 'E: Unable to locate package nonsense' >&2; exit 1");
    const Error error = refusal(call("base"));
    EXPECT_NE(std::string(error.what()).find("image base: "), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("Unable to locate package nonsense"), std::string::npos)
        << error.what();
    EXPECT_NE(error.hint().find(builder_->log(Name::parse("base")).string()), std::string::npos)
        << error.hint();
    EXPECT_EQ(slurp(builder_->log(Name::parse("base"))),
              "Reading package lists...\nE: Unable to locate package nonsense\n");
    EXPECT_TRUE(service_->list().empty());
}

TEST_F(ImageBuildTest, SaysThatTheDiskWasFull) {
    behave("echo 'dd: writing: No space left on device' >&2; echo 'E: it failed' >&2; exit 1");
    EXPECT_EQ(refusal(call("base")).code(), ErrorCode::no_space);
}

TEST_F(ImageBuildTest, OfANameThatFailedBeforeBeginsANewLog) {
    behave("echo 'E: first' >&2; exit 1");
    static_cast<void>(refusal(call("base")));
    behave("echo 'E: second' >&2; exit 1");
    EXPECT_EQ(std::string(refusal(call("base")).what()).find("first"), std::string::npos);
    EXPECT_EQ(slurp(builder_->log(Name::parse("base"))), "E: second\n");
}

TEST_F(ImageBuildTest, RefusesADiskThatIsNone) {
    behave("echo 'no disk' >\"$output/disk.qcow2\"");
    static_cast<void>(refusal(call("base")));
    EXPECT_TRUE(service_->list().empty());
}

TEST_F(ImageBuildTest, RefusesAtTheDoorWhatCannotBeBuilt) {
    static_cast<void>(import("taken", slurp(work_ / "built.qcow2")));
    behave("exit 9");
    EXPECT_EQ(refusal(call("taken")).code(), ErrorCode::exists);
    const auto changed = [&](const auto& change) {
        ImageBuild build = call("new");
        change(build);
        try {
            static_cast<void>(builds_->build(build)); // at once, not by the operation
        } catch (const Error& error) {
            return error.code();
        }
        ADD_FAILURE() << "it was begun";
        return ErrorCode::internal;
    };
    EXPECT_EQ(changed([](ImageBuild& b) { b.architecture = Architecture::s390x; }), ErrorCode::not_capable);
    EXPECT_EQ(changed([](ImageBuild& b) { b.size = Bytes::parse("1G"); }), ErrorCode::invalid);
    EXPECT_EQ(changed([](ImageBuild& b) { b.size = Bytes(Bytes::parse("2G").count() + 512); }),
              ErrorCode::invalid);
    EXPECT_EQ(changed([this](ImageBuild& b) { b.size = Bytes(config_.max_size.count() + mib); }),
              ErrorCode::invalid);
    EXPECT_EQ(changed([](ImageBuild& b) { b.mirror = Url::parse("file:///srv/debian"); }),
              ErrorCode::invalid);
    EXPECT_EQ(changed([](ImageBuild& b) { b.security_mirror = Url::parse("http://h/d?x"); }),
              ErrorCode::invalid);
    EXPECT_EQ(changed([](ImageBuild& b) { b.include.resize(501, PackageName::parse("nginx")); }),
              ErrorCode::invalid);
}

TEST_F(ImageBuildTest, TellsHowFarItIs) {
    behave("echo 'I: installing remaining packages inside the chroot...' >&2\n"
           "until [ -e \"$work/go\" ]; do sleep 0.05; done\n"
           "cp \"$work/built.qcow2\" \"$output/disk.qcow2\"");
    const Operation begun = builds_->build(call("base"));
    Operation now = operations_->show(begun.id);
    for (int round = 0; round < 2000 && now.message.find("packages") == std::string::npos; ++round) {
        std::this_thread::sleep_for(5ms);
        now = operations_->show(begun.id);
    }
    EXPECT_NE(now.message.find("packages"), std::string::npos) << now.message;
    std::ofstream(work_ / "go") << "";
    EXPECT_EQ(finished(begun).state, OperationState::done);
}

TEST_F(ImageBuildTest, EndsWhenCapsuldStops) {
    behave("touch \"$work/begun\"; exec sleep 600");
    const Operation begun = builds_->build(call("base"));
    wait_for(work_ / "begun");
    operations_->stop();
    EXPECT_EQ(operations_->show(begun.id).state, OperationState::failed);
    EXPECT_EQ(left(), std::set<std::string>());
    EXPECT_TRUE(client_->list("capsul-build-*").empty());
}

TEST_F(ImageBuildTest, ThatSomebodyStopsIsToldSo) {
    behave("touch \"$work/begun\"; exec sleep 600");
    const Operation begun = builds_->build(call("base"));
    wait_for(work_ / "begun");
    ASSERT_EQ(client_->list("capsul-build-*").size(), 1U);
    static_cast<void>(client_->stop(client_->list("capsul-build-*").front().name, 30s));
    const Operation ended = finished(begun);
    ASSERT_TRUE(ended.error);
    EXPECT_NE(ended.error->title.find("stopped"), std::string::npos) << ended.error->title;
}

/// What kill -9 of capsuld leaves: the unit, which may run on, its folder and its scratch folder.
TEST_F(ImageBuildTest, OfADaemonThatWasKilledIsSwept) {
    behave("touch \"$work/begun\"; exec sleep 600");
    const Uuid running = Uuid::make();
    const Uuid cut = Uuid::make(); // by a power cut: nothing runs, and nothing has removed its scratch folder
    const UserUnits units(paths_);
    for (const Uuid& id : {running, cut}) {
        make_folders(paths_.builds() / id.to_string());
        units.write(build_unit_name(id), build_unit({id, paths_.builds() / id.to_string(),
                                                     base_ / "scratch" / ("capsul-build-" + id.to_string()),
                                                     base_ / "log", base_ / "programs"},
                                                    call("base")));
    }
    std::jthread start([&] {
        try {
            static_cast<void>(client_->start(build_unit_name(running), 60s));
        } catch (const Error&) {
            // It is stopped.
        }
    });
    wait_for(work_ / "begun");
    make_folders(base_ / "scratch" / ("capsul-build-" + cut.to_string()) / "root");
    builder_->sweep();
    EXPECT_EQ(left(), std::set<std::string>());
}

TEST_F(ImageBuildTest, SweepTouchesNothingOfOthers) {
    make_folders(base_ / "scratch/capsul-build-of-somebody");
    builder_->sweep();
    EXPECT_TRUE(fs::remove(base_ / "scratch/capsul-build-of-somebody"));
}

} // namespace
} // namespace capsul
