// Images made of the disks of VMs: real qemu-img, guests without an operating system.
#include "daemon/guest_identity.hpp"
#include "daemon/seed_iso.hpp"
#include "tests/integration/disk_contents.hpp"

#include <gmock/gmock.h>
#include <map>

namespace capsul {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class ImagePublishTest : public VmDisksTest {
  protected:
    ImagePublishTest() {
        fill(daemon_->images.disk_path(Digest::parse("sha256:" + std::string(64, 'a'))), 1, "1M");
        make("web", false);
        daemon_->images.sweep();
    }

    [[nodiscard]] ImagePublish to_image(const std::string& image = "base") const {
        return {web_, Name::parse(image)};
    }
    ImagePublished publish() { return decode<ImagePublished>(run(to_image())); }

    static void fill(const fs::path& disk, int byte, const std::string& where) {
        ASSERT_EQ(run_process({"qemu-io", "-f", "qcow2", "-c", fmt::format("write -P {} {} 64k", byte, where),
                               disk.string()},
                              30s)
                      .status,
                  0);
    }
    static testing::AssertionResult is_filled(const fs::path& disk, int byte, const std::string& where) {
        const ProcessResult read = run_process({"qemu-io", "-r", "-f", "qcow2", "-c",
                                                fmt::format("read -P {} {} 64k", byte, where), disk.string()},
                                               30s);
        const bool ok = read.out.find("read 65536/65536") != std::string::npos &&
                        read.out.find("verification failed") == std::string::npos;
        return ok ? testing::AssertionSuccess() : testing::AssertionFailure() << read.out << read.err;
    }
    fs::path disk_of(const Image& image) { return daemon_->images.disk_path(*image.digest); }

    /// Every file of VMs, images and uploads, and every unit, with its content.
    std::map<std::string, std::string> all_files() {
        std::map<std::string, std::string> files;
        for (const fs::path& folder : {paths_.data, paths_.units}) {
            for (const auto& entry : fs::recursive_directory_iterator(folder)) {
                if (entry.is_regular_file()) {
                    files[entry.path().string()] = read_file(entry.path(), 1U << 24U);
                }
            }
        }
        return files;
    }
    void expect_refused(ErrorCode code, const std::string& words) {
        const auto before = all_files();
        const Error error = refusal([&] { run(to_image()); });
        EXPECT_EQ(error.code(), code) << error.what();
        EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
        EXPECT_TRUE(all_files() == before) << "something is left";
    }

    const fs::path begun_ = folder_.path() / "begun";
    /// A piece of shell that tells that it was begun, and never ends.
    const std::string stand_still_ = "touch " + begun_.string() + "; exec sleep 1000";

    /// Of capsuld, while some program stands still.
    void expect_nothing_left_by_its_end() {
        const auto before = all_files();
        ask(to_image());
        while (!fs::exists(begun_)) {
            std::this_thread::sleep_for(5ms);
        }
        daemon_.reset();
        EXPECT_TRUE(all_files() == before) << "something is left";
        daemon_ = std::make_unique<Daemon>(paths_);
    }

    std::string vendor_data(const Name& vm) {
        const auto files = files_in_seed_iso(read_file(paths_.vm(vm) / "seed.iso"));
        const auto found = files.find("vendor-data");
        return found == files.end() ? "" : found->second;
    }

    const fs::path copies_ = folder_.path() / "copies"; ///< a line for each

    /// libguestfs, whose virt-sysprep does `work`, a piece of shell, to the disk $disk.
    void install_libguestfs(const std::string& work) {
        const fs::path& programs = daemon_->programs;
        replace_file(programs / "supermin",
                     "#!/bin/sh\nuntil [ \"$1\" = -o ]; do shift; done\nmkdir \"$2\"\n", 0755);
        replace_file(programs / "virt-sysprep",
                     "#!/bin/sh\nuntil [ \"$1\" = --add ]; do shift; done\ndisk=$2\n" + work + "\n", 0755);
    }

    /// `answer`, a piece of shell, is what every program in a sandbox does that has `word` among its words.
    void instead_of(const std::string& word, const std::string& answer) {
        replace_file(daemon_->programs / "capsul-run",
                     fmt::format("#!/bin/sh\nuntil [ \"$1\" = -- ]; do shift; done; shift\n"
                                 "case \" $* \" in *' {} '*) {} ;; esac\nexec \"$@\"\n",
                                 word, answer),
                     0755);
    }
};

TEST_F(ImagePublishTest, MakesOneFileOfTheDiskAndItsImage) {
    fill(file_of(web_, "root"), 2, "2M");
    const std::string before = read_file(file_of(web_, "root"), 1U << 24U);
    const ImagePublished result = publish();
    EXPECT_TRUE(is_filled(disk_of(result.image), 1, "1M"));
    EXPECT_TRUE(is_filled(disk_of(result.image), 2, "2M"));
    const ProcessResult info =
        run_process({"qemu-img", "info", "--output=json", disk_of(result.image).string()}, 30s);
    EXPECT_EQ(info.out.find("backing"), std::string::npos) << info.out;
    EXPECT_EQ(result.image.size, Bytes::parse("64M"));
    EXPECT_EQ(result.image.digest->hex(),
              run_process({"sha256sum", disk_of(result.image).string()}, 30s).out.substr(0, 64));
    EXPECT_TRUE(read_file(file_of(web_, "root"), 1U << 24U) == before) << "the VM's own has changed";
    EXPECT_TRUE(fs::is_empty(paths_.uploads()));
    EXPECT_EQ(decode<Vm>(run(VmStart{web_})).state, VmState::running);
}

TEST_F(ImagePublishTest, KnowsWhereItIsFrom) {
    publish();
    const auto image = decode<Image>(ask(ImageShow{Name::parse("base")}));
    ASSERT_TRUE(image.published);
    EXPECT_EQ(image.published->vm, web_);
    EXPECT_EQ(image.published->image, Name::parse("blank"));
    EXPECT_TRUE(image.published->reset);
    EXPECT_FALSE(image.origin);
}

TEST_F(ImagePublishTest, OfAGrownDiskIsAsLarge) {
    VmResize call;
    call.name = web_;
    call.disk = NewSize::parse("96M");
    run(call);
    EXPECT_EQ(publish().image.size, Bytes::parse("96M"));
}

TEST_F(ImagePublishTest, TakesTheDiskAsItIsNowAndNoSnapshot) {
    write(web_, "root", 2);
    run(VmSnapshotCreate{web_, Name::parse("one")});
    write(web_, "root", 3);
    const Image image = publish().image;
    EXPECT_TRUE(is_filled(disk_of(image), 3, "0"));
    EXPECT_EQ(run_process({"qemu-img", "snapshot", "-l", disk_of(image).string()}, 30s).out, "");
}

TEST_F(ImagePublishTest, LeavesDataDisksOut) {
    run(VmDiskAdd{web_, Bytes::parse("8M"), DiskName::parse("data")});
    EXPECT_EQ(publish().left_out, std::vector<DiskName>{DiskName::parse("data")});
}

TEST_F(ImagePublishTest, ItsVmsGetAnIdentityOfTheirOwnAndOthersDoNot) {
    publish();
    VmCreate call = wanted("one");
    call.image = Name::parse("base");
    call.start = false;
    run(call);
    EXPECT_EQ(vendor_data(Name::parse("one")), with_new_identity(""));
    EXPECT_EQ(vendor_data(web_), "");
    ImageRecord image = daemon_->store.images.load(call.image);
    image.published->reset = false;
    daemon_->store.images.save(image);
    call.name = Name::parse("two");
    run(call);
    EXPECT_EQ(vendor_data(Name::parse("two")), "");
}

TEST_F(ImagePublishTest, IsCleanedByLibguestfsWhereThatIs) {
    install_libguestfs("test \"$LIBGUESTFS_PATH\" && test -f \"$LIBGUESTFS_PATH/README.fixed\" && "
                       "qemu-io -f qcow2 -c 'write -P 7 1M 64k' \"$disk\" >/dev/null");
    fill(file_of(web_, "root"), 2, "2M");
    const ImagePublished result = publish();
    EXPECT_FALSE(result.not_cleaned) << *result.not_cleaned;
    EXPECT_TRUE(result.image.published->cleaned && result.image.published->reset);
    EXPECT_TRUE(is_filled(disk_of(result.image), 7, "1M"));
    EXPECT_TRUE(is_filled(disk_of(result.image), 2, "2M"));
    EXPECT_TRUE(fs::is_empty(paths_.builds()) && fs::is_empty(paths_.uploads()));
}

TEST_F(ImagePublishTest, IsCopiedAgainWhereLibguestfsFailsHalfWay) {
    install_libguestfs(
        "qemu-io -f qcow2 -c 'write -P 7 1M 64k' \"$disk\" >/dev/null; echo 'x: error: odd' >&2; exit 1");
    instead_of("convert", "echo once >>" + copies_.string() + "; exec \"$@\"");
    const ImagePublished result = publish();
    EXPECT_THAT(result.not_cleaned.value_or(""), StartsWith("odd (`libguestfs-test-tool`"));
    EXPECT_TRUE(result.image.published->reset && !result.image.published->cleaned);
    EXPECT_TRUE(is_filled(disk_of(result.image), 1, "1M"));
    EXPECT_TRUE(fs::is_empty(paths_.builds()) && fs::is_empty(paths_.uploads()));
    EXPECT_EQ(read_file(copies_), "once\nonce\n");
}

TEST_F(ImagePublishTest, IsCopiedOnceWhereLibguestfsHasChangedNothing) {
    install_libguestfs("echo 'x: error: odd' >&2; exit 1");
    instead_of("convert", "echo once >>" + copies_.string() + "; exec \"$@\"");
    EXPECT_TRUE(publish().not_cleaned);
    EXPECT_EQ(read_file(copies_), "once\n");
}

TEST_F(ImagePublishTest, IsNotCalledCleanWhenAFileSystemWasLeftOut) {
    install_libguestfs(
        "echo 'virt-sysprep: warning: mount: mount exited with status 32: wrong fs type (ignored)' >&2");
    EXPECT_THAT(publish().not_cleaned.value_or(""), HasSubstr("wrong fs type"));
}

TEST_F(ImagePublishTest, TellsWhyLibguestfsHasNoSystem) {
    install_libguestfs("exit 0");
    replace_file(daemon_->programs / "supermin",
                 "#!/bin/sh\necho \"cp: cannot open '/boot/vmlinuz'\" >&2; exit 1\n", 0755);
    EXPECT_THAT(publish().not_cleaned.value_or(""),
                AllOf(StartsWith("libguestfs's own system cannot be made: cp: cannot open '/boot/vmlinuz'"),
                      HasSubstr("read a kernel in /boot")));
}

TEST_F(ImagePublishTest, EndsACleaningWithTheDaemonAndLeavesNothing) {
    install_libguestfs(stand_still_);
    expect_nothing_left_by_its_end();
}

TEST_F(ImagePublishTest, TakesNothingElseFromLibguestfs) {
    install_libguestfs("rm -f \"$disk.x\"; qemu-img create -q -f qcow2 -b /etc/passwd -F raw \"$disk\" 64M");
    const ImagePublished result = publish();
    ASSERT_TRUE(result.not_cleaned);
    EXPECT_NE(result.not_cleaned->find("backing file"), std::string::npos) << *result.not_cleaned;
    EXPECT_TRUE(is_filled(disk_of(result.image), 1, "1M"));
}

TEST_F(ImagePublishTest, BootsTheSameKernel) {
    VmRecord vm = record(web_);
    const auto placed = [&](const fs::path& file, const std::string& content) {
        replace_file(file, content);
        return content;
    };
    const Digest kernel = Digest::parse("sha256:" + std::string(64, 'b'));
    const Digest initrd = Digest::parse("sha256:" + std::string(64, 'c'));
    placed(daemon_->images.kernel_path(kernel), "\x7f"
                                                "ELF kernel");
    placed(daemon_->images.initrd_path(initrd), "070701 initrd");
    vm.boot = DirectKernel{kernel, initrd, "root=/dev/vda"};
    daemon_->store.vms.save(vm);
    const Image image = publish().image;
    EXPECT_EQ(encode(*image.boot), encode(*vm.boot));
    EXPECT_EQ(read_file(daemon_->images.kernel_path(kernel)), "\x7f"
                                                              "ELF kernel");
    EXPECT_EQ(read_file(daemon_->images.initrd_path(initrd)), "070701 initrd");
    EXPECT_TRUE(fs::is_empty(paths_.uploads()));
    run(VmDelete{web_});
    daemon_->images.sweep();
    EXPECT_FALSE(decode<Image>(ask(ImageShow{image.name})).broken) << "its files are its own";
}

TEST_F(ImagePublishTest, ToldTwiceIsThereAlready) {
    publish();
    expect_refused(ErrorCode::exists, "image base: exists already");
    run(ImageRemove{Name::parse("base")});
    run(ImageTag{Name::parse("base"), Name::parse("blank")});
    expect_refused(ErrorCode::exists, "as an alias");
}

TEST_F(ImagePublishTest, RefusesAVmThatRuns) {
    run(VmStart{web_});
    const Error error = refusal([&] { run(to_image()); });
    EXPECT_EQ(error.code(), ErrorCode::wrong_state);
    EXPECT_NE(error.hint().find("capsulctl stop web"), std::string::npos) << error.hint();
    EXPECT_TRUE(fs::is_empty(paths_.uploads()));
    EXPECT_EQ(refusal([&] { ask(ImageShow{Name::parse("base")}); }).code(), ErrorCode::not_found);
}

TEST_F(ImagePublishTest, RefusesAVmThatIsNotThereOrGoesBefore) {
    EXPECT_EQ(refusal([&] {
                  run(ImagePublish{Name::parse("none"), Name::parse("base")});
              }).code(),
              ErrorCode::not_found);
    const Json deletion = ask(VmDelete{web_});
    EXPECT_EQ(refusal([&] { run(to_image()); }).code(), ErrorCode::not_found);
    finish(deletion);
}

TEST_F(ImagePublishTest, RefusesAVmWhoseDisksAreHalfWayToASnapshot) {
    VmRecord vm = record(web_);
    vm.restoring = Name::parse("one");
    daemon_->store.vms.save(vm);
    expect_refused(ErrorCode::wrong_state, "half-way");
}

TEST_F(ImagePublishTest, RefusesADiskThatLiesOverAnythingElse) {
    const fs::path disk = file_of(web_, "root");
    const fs::path other = folder_.path() / "secret.qcow2";
    ASSERT_EQ(run_process({"qemu-img", "create", "-q", "-f", "qcow2", other.string(), "64M"}, 30s).status, 0);
    const auto rebase = [&](const std::string& base) {
        return run_process(
                   {"qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", base, disk.string()}, 30s)
            .status;
    };
    ASSERT_EQ(rebase(other.string()), 0);
    expect_refused(ErrorCode::verification, "not laid over the image");
    ASSERT_EQ(rebase("json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"" +
                     other.string() + "\"}}"),
              0);
    expect_refused(ErrorCode::verification, "not laid over the image");
    ASSERT_EQ(run_process({"qemu-img", "rebase", "-u", "-f", "qcow2", "-b", "", disk.string()}, 30s).status,
              0);
    expect_refused(ErrorCode::verification, "not laid over the image");
}

TEST_F(ImagePublishTest, TakesAnImageWhoseFolderWasElsewhere) {
    const std::string base = "/old/home/images/sha256-" + std::string(64, 'a') + ".qcow2";
    ASSERT_EQ(run_process({"qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", base,
                           file_of(web_, "root").string()},
                          30s)
                  .status,
              0);
    EXPECT_TRUE(is_filled(disk_of(publish().image), 1, "1M"));
}

TEST_F(ImagePublishTest, RefusesADiskThatIsNone) {
    const fs::path disk = file_of(web_, "root");
    std::string bad_table = read_file(disk, 1U << 24U);
    bad_table.replace(40, 8, 8, '\xff'); // where its L1 table is
    for (const std::string& content :
         {std::string("no disk"), std::string(), bad_table.substr(0, 100), bad_table}) {
        replace_file(disk, content);
        const auto before = all_files();
        const Error error = refusal([&] { run(to_image()); });
        EXPECT_EQ(error.code(), ErrorCode::verification) << error.what();
        EXPECT_TRUE(all_files() == before);
    }
}

TEST_F(ImagePublishTest, RefusesADiskAboveTheLimit) {
    daemon_->config.image.max_size = Bytes::parse("32M");
    expect_refused(ErrorCode::too_large, "64M");
}

TEST_F(ImagePublishTest, AFailureHalfWayLeavesNothing) {
    instead_of("convert", "for last; do :; done; echo half >\"$last\"; exit 1");
    expect_refused(ErrorCode::internal, "converting to qcow2");
    instead_of("convert", "for last; do :; done; echo other >\"$last\"; exit 0");
    const auto before = all_files();
    EXPECT_TRUE(refusal([&] { run(to_image()); }).code() != ErrorCode::internal);
    EXPECT_TRUE(all_files() == before);
    instead_of("convert", "echo 'qemu-img: error while writing: No space left on device' >&2; exit 1");
    expect_refused(ErrorCode::no_space, "no space left");
}

TEST_F(ImagePublishTest, RefusesWhatCannotFitBeforeItCopies) {
    instead_of("measure", "echo '{\"required\": 9000000000000000}'; exit 0");
    expect_refused(ErrorCode::no_space, "publishing the disk needs");
}

TEST_F(ImagePublishTest, EndsWithTheDaemonAndLeavesNothing) {
    instead_of("convert", stand_still_);
    expect_nothing_left_by_its_end();
}

TEST_F(ImagePublishTest, WhatAKilledDaemonHadWrittenIsSwept) {
    const auto before = all_files();
    const std::string id = Uuid::make().to_string();
    replace_file(paths_.uploads() / (id + ".claimed"), "half");
    replace_file(daemon_->host.units().file(tool_unit_name(Uuid::parse(id))), "[Service]\n");
    daemon_.reset();
    daemon_ = std::make_unique<Daemon>(paths_);
    daemon_->images.sweep();
    EXPECT_TRUE(all_files() == before);
}

} // namespace
} // namespace capsul
