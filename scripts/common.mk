# SPDX-License-Identifier: GPL-2.0-only
# What our Makefiles share. A Makefile that compiles says before it includes this where its
# objects are ($(obj)) and what it is called ($(name)).
root := $(patsubst %/scripts/common.mk,%,$(lastword $(MAKEFILE_LIST)))
BUILD ?= $(root)/build
version := 0.1

# $(call quiet,CC     ,FILES)COMMAND says in a line for each file what the command makes.
# V=1 shows the command instead, and make -s shows neither.
silent := $(findstring s,$(firstword -$(MAKEFLAGS)))
quiet = $(if $(filter 1,$(V)),,@$(if $(silent),,printf '  %s\n' $(foreach f,$(2),'$(1) $(f)');))

# The user's flags come last, and so have the last word. $(call package,NAME,LIBRARIES) gives
# the libraries of a package, which are those given where pkg-config does not know it.
CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config
flags := -std=gnu11 -Wall $(if $(filter 1,$(WERROR)),-Werror) -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
	-D__user= -I$(root)/include/uapi -I$(root)/include \
	$(if $(KERNEL_HEADERS),-isystem $(KERNEL_HEADERS))
compile = $(CC) $(flags) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
link = $(CC) $(CFLAGS) $(LDFLAGS) -o $@
package = $(or $(shell $(PKG_CONFIG) --libs $(1) 2>/dev/null),$(2))
package_flags = $(shell $(PKG_CONFIG) --cflags $(1) 2>/dev/null)

# The directories of the GNU coding standards
prefix ?= /usr/local
exec_prefix ?= $(prefix)
sbindir ?= $(exec_prefix)/sbin
libdir ?= $(exec_prefix)/lib
includedir ?= $(prefix)/include
datarootdir ?= $(prefix)/share
datadir ?= $(datarootdir)
mandir ?= $(datarootdir)/man
pkgconfigdir ?= $(libdir)/pkgconfig
bashcompdir ?= $(datadir)/bash-completion/completions
INSTALL ?= install
INSTALL_PROGRAM ?= $(INSTALL) -m 755
INSTALL_DATA ?= $(INSTALL) -m 644

# $(call put,$(INSTALL_DATA),FILES,DIRECTORY), and what takes files away again
put = $(call quiet,INSTALL,$(addprefix $(3)/,$(notdir $(2))))$(INSTALL) -d "$(DESTDIR)$(3)" && \
	$(1) $(2) "$(DESTDIR)$(3)"
remove = $(call quiet,RM     ,$(1))rm -f $(foreach f,$(1),"$(DESTDIR)$(f)")
remove_directory = @rmdir "$(DESTDIR)$(1)" 2>/dev/null || :
# $(call substitute,FROM,TO): of the directories what lies below the prefix is told so.
below_prefix = $(patsubst $(prefix)/%,$${prefix}/%,$(1))
substitute = $(call quiet,GEN    ,$(notdir $(2)))sed -e '/^\#/d' -e 's|@prefix@|$(prefix)|' -e 's|@sbindir@|$(sbindir)|' \
	-e 's|@libdir@|$(call below_prefix,$(libdir))|' \
	-e 's|@includedir@|$(call below_prefix,$(includedir))|' -e 's|@version@|$(version)|' $(1) > $(2)

.PHONY: all install uninstall clean FORCE
.DELETE_ON_ERROR:
all:
	@:

ifdef obj
# Whatever is compiled or linked in another way is so anew.
export BUILT_WITH = $(CC) $(AR) $(flags) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)
$(obj)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' "$$BUILT_WITH" | cmp -s - $@ || printf '%s\n' "$$BUILT_WITH" > $@

$(obj)/%.o: %.c $(obj)/flags
	@mkdir -p $(@D)
	$(call quiet,CC     ,$(name)/$*.o)$(compile)
endif
